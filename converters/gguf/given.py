"""An importance matrix as llama.cpp's quantizer takes it, and as the file it makes tells of it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from converters.gguf.imatrix import ImportanceMatrix, check_fits, read_imatrix
from converters.tensors import FloatArray
from runtime.models.files import sha256_of
from runtime.models.header import Header

_MAX_TEXT_BYTES = 127  # of a value in llama_model_kv_override
_SHOWN = 3


@dataclass(frozen=True)
class GivenMatrix:
    """A file of `demotic calibrate` or llama-imatrix, read."""

    path: Path
    sha256: str
    matrix: ImportanceMatrix

    def check(self, header: Header) -> None:
        """Refuse it for another model.

        Raises:
            ConversionRefused: with what does not fit.
        """
        check_fits(self.path, self.matrix.entries, header)

    def notes(self, header: Header) -> list[str]:
        """A line where matrices of the model's blocks have no entry, so that all of their columns count the same."""
        without = [
            name
            for name, tensor in header.tensors.items()
            if name.startswith("blk.") and len(tensor.shape) > 1 and name not in self.matrix.entries
        ]
        if not without:
            return []
        more = f" and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
        return [f"The importance matrix has nothing of {', '.join(without[:_SHOWN])}{more}."]

    def values(self) -> dict[str, FloatArray]:
        """How much each column of each matrix counts, by tensor: shape (matrices, columns)."""
        return {name: np.ascontiguousarray(each.means(), np.float32) for name, each in self.matrix.entries.items()}

    def as_dict(self) -> dict[str, Any]:
        """What a manifest tells of it."""
        return {
            "name": self.path.name,
            "sha256": self.sha256,
            "languages": dict(self.matrix.languages),
            "datasets": list(self.matrix.datasets),
            "chunks": self.matrix.num_chunks,
        }


def read_given(path: Path) -> GivenMatrix:
    """Read an importance matrix.

    Raises:
        ModelFileInvalid: it is none, or is damaged.
    """
    return GivenMatrix(path, matrix=read_imatrix(path), sha256=sha256_of(path))


def arrays_of(values: Mapping[str, FloatArray]) -> ctypes.Array[llama_cpp.llama_model_imatrix_data]:
    """Contiguous values by tensor as `llama_model_quantize_params.imatrix`, which they must outlive.

    An entry without a name ends it.
    """
    arrays = (llama_cpp.llama_model_imatrix_data * (len(values) + 1))()
    for place, (name, value) in zip(arrays, values.items(), strict=False):
        place.name = name.encode()
        place.data = value.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        place.size = value.size
    return arrays


def overrides_of(given: GivenMatrix) -> ctypes.Array[llama_cpp.llama_model_kv_override]:
    """The metadata that llama-quantize writes of an importance matrix too; one without a key ends it."""
    matrix = given.matrix
    facts: Mapping[str, str | int] = {
        "quantize.imatrix.file": given.path.name,
        **({"quantize.imatrix.dataset": matrix.datasets[0]} if matrix.datasets else {}),
        "quantize.imatrix.entries_count": len(matrix.entries),
        "quantize.imatrix.chunks_count": matrix.num_chunks,
    }
    told = (llama_cpp.llama_model_kv_override * (len(facts) + 1))()
    for place, (key, value) in zip(told, facts.items(), strict=False):
        place.key = key.encode()
        if isinstance(value, int):
            place.tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT
            place.value.val_i64 = value
        else:
            place.tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_STR
            place.value.val_str = value.encode()[:_MAX_TEXT_BYTES].decode("utf-8", "ignore").encode()
    return told
