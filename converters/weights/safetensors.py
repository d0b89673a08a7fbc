"""Safetensors: a JSON table of names, types, shapes and places, then the bytes.

The table is held against the file before anything is read from it. Format:
https://huggingface.co/docs/safetensors/index#format.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from converters.tensors import FloatArray, Tensor, from_bfloat16
from runtime.errors import ConversionRefused

MAX_HEADER_BYTES = 100 * 2**20  # the format's own limit

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2"}
_DTYPES |= {"I8": "i1", "U8": "u1", "BOOL": "?"}
_REMEDY = "Get this file again."


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; their values are read when they are asked for.

    Raises:
        ConversionRefused: the file is cut off, is something else, or its table does not fit its bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise _fault(path, "is cut off or is no safetensors file: its header does not fit into it")
        stored = file.read(length)
    try:
        table = json.loads(stored)
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise _fault(path, "is no safetensors file: its header is no JSON object")
    table.pop("__metadata__", None)
    return {name: _tensor(path, name, entry, 8 + length, size) for name, entry in table.items()}


def _tensor(path: Path, name: str, entry: Any, data_start: int, file_size: int) -> Tensor:
    match entry:
        case {"dtype": str(dtype_name), "shape": list(shape), "data_offsets": [int(start), int(stop)]} if all(
            isinstance(size, int) and size >= 0 for size in shape
        ):
            pass
        case _:
            raise _fault(path, f"has a header that says no type, shape and place of '{name}'")
    if dtype_name not in _DTYPES:
        raise ConversionRefused(
            f"{path} stores '{name}' as {dtype_name}, which is not read.",
            remedy="Get the checkpoint in float32, float16 or bfloat16.",
        )
    dtype = np.dtype(_DTYPES[dtype_name])
    if not 0 <= start <= stop <= file_size - data_start:
        raise _fault(path, f"is cut off: '{name}' should end at byte {data_start + stop} of {file_size}")
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise _fault(path, f"gives '{name}' {stop - start} bytes for the shape {shape} in {dtype_name}")
    dimensions = tuple(shape) or (1,)
    row = math.prod(dimensions[1:])
    place = data_start + start

    def read(first: int, last: int) -> FloatArray:
        values = np.fromfile(path, dtype, (last - first) * row, offset=place + first * row * dtype.itemsize)
        if dtype_name == "BF16":
            values = from_bfloat16(values)
        return values.astype(np.float32, copy=False).reshape(last - first, *dimensions[1:])

    return Tensor(dimensions, read, dtype=dtype_name, is_scalar=not shape)


def _fault(path: Path, fault: str) -> ConversionRefused:
    return ConversionRefused(f"{path} {fault}.", remedy=_REMEDY)
