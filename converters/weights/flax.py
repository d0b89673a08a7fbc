"""Flax's msgpack: nested maps of arrays, under Flax's names, read as PyTorch names and lays them out.

Format: flax/serialization.py. An array is extension type 1, the msgpack of (shape, dtype name, bytes); one of more than
a gigabyte is a map of chunks. A Dense layer's `kernel` is the transposed `weight` of PyTorch's Linear.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from converters.tensors import FloatArray, Tensor, from_bfloat16, transposed
from runtime.errors import ConversionRefused

_ARRAY_EXTENSION = 1
_CHUNKED = "__msgpack_chunked_array__"
_HALVES = {"bfloat16": "BF16", "float16": "F16"}
_RENAMED = {"kernel": "weight", "embedding": "weight", "scale": "weight"}


def read_flax(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by the names that PyTorch gives them.

    Raises:
        ConversionRefused: the file is cut off, is something else, or an array in it does not fit its shape.
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # the arrays are views of it: it stays open
            stored = msgspec.msgpack.decode(data, ext_hook=_array)
        except (ValueError, msgspec.DecodeError, TypeError) as fault:
            raise ConversionRefused(
                f"{path} is cut off or is no Flax checkpoint: {str(fault).rstrip('.')}.", remedy="Get this file again."
            ) from fault
    if not isinstance(stored, dict):
        raise ConversionRefused(f"{path} is no Flax checkpoint: it holds no arrays by name.")
    return {name: tensor for parts, value in _leaves(stored, ()) for name, tensor in [_named(path, parts, value)]}


class _Array(msgspec.Struct, array_like=True):
    shape: list[int]
    dtype: str
    data: memoryview


def _array(code: int, payload: memoryview) -> Any:
    if code != _ARRAY_EXTENSION:
        raise TypeError(f"it has an unknown extension {code}")
    array = msgspec.msgpack.decode(payload, type=_Array)
    itemsize = 2 if array.dtype == "bfloat16" else np.dtype(array.dtype).itemsize
    if len(array.data) != math.prod(array.shape) * itemsize:
        raise TypeError(f"it has {len(array.data)} bytes for the shape {array.shape} in {array.dtype}")
    return array


def _leaves(tree: dict[Any, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        parts = (*above, str(name))
        if isinstance(value, dict) and _CHUNKED not in value:
            yield from _leaves(value, parts)
        else:
            yield parts, value


def _named(path: Path, parts: tuple[str, ...], value: Any) -> tuple[str, Tensor]:
    name = ".".join(parts)
    tensor = _joined(path, name, value) if isinstance(value, dict) else _tensor(value)
    if tensor is None:
        raise ConversionRefused(f"{path} has something else than an array as '{name}'.")
    if parts[-1] == "kernel" and len(tensor.shape) == 2:
        tensor = transposed(tensor)
    return ".".join((*parts[:-1], _RENAMED.get(parts[-1], parts[-1]))), tensor


def _joined(path: Path, name: str, value: dict[Any, Any]) -> Tensor:
    shape = [int(size) for size in value.get("shape", {}).values()]
    chunks = [_tensor(chunk) for chunk in value.get("chunks", {}).values()]
    if not shape or any(chunk is None for chunk in chunks):
        raise ConversionRefused(f"{path} has something else than an array as '{name}'.")

    def read(first: int, last: int) -> FloatArray:
        whole = np.concatenate([chunk.whole().ravel() for chunk in chunks if chunk is not None])
        return whole.reshape(shape)[first:last]

    dtype = chunks[0].dtype if chunks and chunks[0] is not None else "F32"
    return Tensor(tuple(shape), read, is_divisible=False, dtype=dtype)


def _tensor(value: Any) -> Tensor | None:
    if not isinstance(value, _Array):
        return None
    is_bf16 = value.dtype == "bfloat16"
    shape = tuple(value.shape) or (1,)
    stored = np.frombuffer(value.data, "<u2" if is_bf16 else value.dtype).reshape(shape)

    def read(first: int, last: int) -> FloatArray:
        rows = stored[first:last]
        return from_bfloat16(rows) if is_bf16 else rows.astype(np.float32)

    return Tensor(shape, read, dtype=_HALVES.get(value.dtype, "F32"), is_scalar=not value.shape)
