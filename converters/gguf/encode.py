"""Float32 values in the types of a GGUF, and back, by ggml itself."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType

from converters.tensors import FloatArray
from runtime.errors import ConversionRefused
from runtime.hardware.ggml import load_ggml
from runtime.models.gguf_format import GGML_TYPES

# Without importances ggml aborts the process (ggml_quantize_requires_imatrix of ggml.c).
_NEED_IMPORTANCES = frozenset({GGMLQuantizationType.IQ2_XXS, GGMLQuantizationType.IQ2_XS, GGMLQuantizationType.IQ1_S})


def encoded(values: FloatArray, type_number: int, name: str) -> npt.NDArray[Any]:
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
        case _:
            return _quantized(values, type_number)


def decoded(data: npt.NDArray[np.uint8], type_number: int) -> FloatArray:
    """The values that rows of a GGUF stand for: `data` of shape (rows, bytes of a row)."""
    _, block_values, block_bytes = GGML_TYPES[type_number]
    rows = np.ascontiguousarray(data)
    if type_number == GGMLQuantizationType.F32:
        return rows.view("<f4")
    found = np.empty((len(rows), rows.shape[1] // block_bytes * block_values), np.float32)
    _to_float(type_number)(rows.ctypes.data, found.ctypes.data, found.size)
    return found


def _halves(values: FloatArray, name: str) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(values.astype(np.float16))
    if not np.isfinite(halves).all():
        raise ConversionRefused(
            f"The checkpoint has values in '{name}' above 65504, the most that float16 holds.",
            remedy="Choose --type bf16 or f32.",
        )
    return halves


def _quantized(values: FloatArray, type_number: int) -> npt.NDArray[np.uint8]:
    """By ggml: the same bytes as the gguf package's, some thirty times as fast."""
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    _, block_values, block_bytes = GGML_TYPES[type_number]
    found = np.empty((len(rows), rows.shape[1] // block_values * block_bytes), np.uint8)
    columns = np.ones(rows.shape[1], np.float32)  # where a type must be told how much each matters: alike
    importances = columns.ctypes.data if type_number in _NEED_IMPORTANCES else None
    written = _quantize_chunk()(type_number, rows.ctypes.data, found.ctypes.data, 0, *rows.shape, importances)
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


class _TypeTraits(ctypes.Structure):
    """`ggml_type_traits` of ggml.h."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("block_values", ctypes.c_int64),
        ("block_values_interleaved", ctypes.c_int64),
        ("block_bytes", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
        ("from_float", ctypes.c_void_p),
    )


@cache
def _to_float(type_number: int) -> Any:
    """`ggml_to_float_t` of a type: source, target, number of values."""
    function = load_ggml().ggml_get_type_traits
    function.argtypes, function.restype = [ctypes.c_int], ctypes.POINTER(_TypeTraits)
    return function(type_number).contents.to_float
