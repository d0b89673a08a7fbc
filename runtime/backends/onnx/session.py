"""A graph in onnxruntime: the one place where its settings are made and its errors are ours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no types
from onnxruntime.capi import onnxruntime_pybind11_state as native  # type: ignore[import-untyped]  # as above

from runtime.errors import CardFailed, InferenceFailed, ModelFileInvalid, ModelLoadFailed
from runtime.hardware.plan import Plan
from runtime.hardware.retreat import no_room, tells_of, uses_card

Array = npt.NDArray[Any]

_PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
_ARENAS = {"cpu": "cpu:0", "cuda": "cpu:0;gpu:0"}
# What onnxruntime raises of a file that is no graph, or one that contradicts itself.
_BROKEN = (
    native.InvalidProtobuf, native.InvalidGraph, native.NoModel, native.NoSuchFile, native.InvalidArgument, native.Fail,
    native.NotFound, native.NotImplemented,
)  # fmt: skip
_FATAL = 4
_MAX_LINE = 300


class Graph(Protocol):
    """One graph, which `OnnxSession` is."""

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Compute these outputs, in their order."""


class OnnxSession:
    """One graph, loaded. `inputs` and `outputs` are its names; all of them are float32 or int64."""

    def __init__(self, path: Path, plan: Plan, *, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Load the graph at `path` as `plan` says; `inputs` and `outputs` are what it must have.

        Raises:
            ModelFileInvalid: the file is no sound graph, or not the one that the settings tell of.
            ModelLoadFailed: onnxruntime cannot run it here; CardFailed where a card was to compute it.
        """
        self._path = path
        self._uses_card = uses_card(plan)
        providers = _PROVIDERS[plan.provider or "cpu"]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of providers that cannot be used, which is told of below
                self._session = ort.InferenceSession(path, _options(plan), providers=providers)
        except Exception as fault:  # its errors have no root of their own
            if self._uses_card and tells_of([str(fault)]):
                raise no_room(path.parent.name, _line(fault)) from fault
            if isinstance(fault, _BROKEN):
                raise _invalid(path, f"is no sound ONNX graph: {_line(fault)}") from fault
            raise ModelLoadFailed(
                f"onnxruntime could not load {path}: {_line(fault)}.", remedy="Export the model anew."
            ) from fault
        if providers[0] not in self._session.get_providers():
            raise CardFailed(
                f"onnxruntime could not start {providers[0]} for {path}.", remedy="`demotic doctor` says what is wrong."
            )
        self._once = ort.RunOptions()
        self._once.add_run_config_entry("memory.enable_memory_arena_shrinkage", _ARENAS[plan.provider or "cpu"])
        self.inputs = tuple(each.name for each in self._session.get_inputs())
        self.outputs = tuple(each.name for each in self._session.get_outputs())
        for what, there, wanted in (("inputs", self.inputs, inputs), ("outputs", self.outputs, outputs)):
            if set(there) != set(wanted):
                raise _invalid(path, f"has the {what} {', '.join(there)}; its settings say {', '.join(wanted)}")

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array], *, gives_back: bool = False) -> list[Array]:
        """Compute `outputs`, in their order, from `feeds`.

        `gives_back` gives back the memory that this took, which is kept for the next time otherwise.

        Raises:
            InferenceFailed: onnxruntime failed.
            CardFailed: the card ran out of memory.
        """
        try:
            found: list[Array] = self._session.run(outputs, feeds, self._once if gives_back else None)
        except Exception as fault:  # as above
            if self._uses_card and tells_of([str(fault)]):
                raise no_room(self._path.parent.name, _line(fault)) from fault
            raise InferenceFailed(f"onnxruntime failed in {self._path.name}: {_line(fault)}.") from fault
        return found

    def output_size(self, output: str) -> int | None:
        """The last dimension of an output, where the graph tells it."""
        shape = next(each.shape for each in self._session.get_outputs() if each.name == output)
        return shape[-1] if shape and isinstance(shape[-1], int) else None


def _options(plan: Plan) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = plan.threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning take the processor from the other workers, and from everything else here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Texts differ in length from step to step: a plan of memory would be kept for each of them.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.log_severity_level = _FATAL
    return options


def _invalid(path: Path, fault: str) -> ModelFileInvalid:
    return ModelFileInvalid(f"{path} {fault}.", remedy="Export the model anew: demotic convert SOURCE --to onnx.")


def _line(fault: Exception) -> str:
    """The first line of an error, without onnxruntime's own paths of source files."""
    return " ".join(str(fault).split())[:_MAX_LINE].rstrip(". ") or type(fault).__name__


def padded(rows: Sequence[Sequence[int]], fill: int) -> npt.NDArray[np.int64]:
    """Rows of ids as one array, filled on the right: int64, shape (rows, the longest)."""
    array = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for row, tokens in zip(array, rows, strict=True):
        row[: len(tokens)] = tokens
    return array
