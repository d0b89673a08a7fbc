"""Float32 values in the types that files are written in directly."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, quants

from converters.tensors import FloatArray
from runtime.errors import ConversionRefused
from runtime.hardware.ggml import load_ggml


def encoded(values: FloatArray, type_number: GGMLQuantizationType, name: str) -> npt.NDArray[Any]:
    """The values of some rows of the tensor `name` as a GGUF holds them; rows must be whole blocks of the type.

    Raises:
        ConversionRefused: a value is not a number, or too large for float16.
    """
    if not np.isfinite(values).all():
        raise ConversionRefused(
            f"The checkpoint has values in '{name}' that are no finite numbers.", remedy="Get the checkpoint again."
        )
    match type_number:
        case GGMLQuantizationType.F32:
            return np.ascontiguousarray(values)
        case GGMLQuantizationType.F16:
            return _halves(values, name)
        case GGMLQuantizationType.Q8_0:
            return _quantized(values, type_number)
        case _:
            return np.ascontiguousarray(quants.quantize(values, type_number))


def _halves(values: FloatArray, name: str) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(values.astype(np.float16))
    if not np.isfinite(halves).all():
        raise ConversionRefused(
            f"The checkpoint has values in '{name}' above 65504, the most that float16 holds.",
            remedy="Choose --type bf16 or f32.",
        )
    return halves


def _quantized(values: FloatArray, type_number: GGMLQuantizationType) -> npt.NDArray[np.uint8]:
    """By ggml itself: the same bytes as the gguf package's, some thirty times as fast."""
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[type_number]
    found = np.empty((len(rows), rows.shape[1] // block_values * block_bytes), np.uint8)
    written = _quantize_chunk()(type_number, rows.ctypes.data, found.ctypes.data, 0, *rows.shape, None)
    if written != found.nbytes:
        raise AssertionError(f"ggml wrote {written} bytes where {found.nbytes} belong")
    return found


@cache
def _quantize_chunk() -> Any:
    """`ggml_quantize_chunk` of ggml.h: type, source, target, first value, rows, values in a row, importances."""
    function = load_ggml().ggml_quantize_chunk
    size, pointer = ctypes.c_int64, ctypes.c_void_p
    function.argtypes = [ctypes.c_int, pointer, pointer, size, size, size, pointer]
    function.restype = ctypes.c_size_t
    return function
