"""Graphs as onnxruntime computes them on the processor, for comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no types

from runtime.errors import ConversionRefused

Array = np.ndarray[Any, Any]


class Computing(Protocol):
    """A graph that is compared."""

    @property
    def inputs(self) -> Sequence[str]:
        """The names of what it takes."""

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name, of torch's tensors and as such."""


class Session:
    """One graph on the processor."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # Threads that wait by spinning would take torch's cores, which computes in between.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as fault:  # onnxruntime's own, which share no class
            raise ConversionRefused(
                f"onnxruntime cannot read {path.name}: {fault}", remedy="Make it again, from the checkpoint."
            ) from fault
        self.inputs: Sequence[str] = [each.name for each in self._session.get_inputs()]
        self._outputs = [each.name for each in self._session.get_outputs()]

    def compute(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, of arrays."""
        try:
            found = self._session.run(None, dict(inputs))
        except Exception as fault:
            raise ConversionRefused(f"onnxruntime cannot compute the graph: {fault}") from fault
        return dict(zip(self._outputs, found, strict=True))

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """See `Computing.run`."""
        return as_tensors(self.compute(as_arrays(inputs)))


def as_arrays(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """Arrays of torch's tensors."""
    return {name: np.ascontiguousarray(each.detach().numpy()) for name, each in tensors.items()}


def as_tensors(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Torch's tensors of arrays."""
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}
