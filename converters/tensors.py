"""Tensors of a checkpoint that are read a piece at a time, so that none has to be in memory as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]

# What a piece takes in memory as float32; its conversion takes a few times as much.
BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Tensor:
    """A tensor somewhere in a file.

    shape: rows first; at least one dimension.
    read: gives the rows (of a vector: the elements) from a start up to an end, as float32.
    is_divisible: a part costs what it is worth; where it is False any part costs reading the whole.
    dtype: what its values are stored as, by safetensors' names; what is computed of it keeps the name.
    is_scalar: the file has it without a dimension.
    """

    shape: tuple[int, ...]
    read: Callable[[int, int], FloatArray]
    is_divisible: bool = True
    dtype: str = "F32"
    is_scalar: bool = False

    @property
    def num_elements(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)

    def whole(self) -> FloatArray:
        """All of it, in its shape."""
        return self.read(0, self.shape[0])

    def blocks(self) -> Iterator[FloatArray]:
        """Its rows in order, in pieces of at most `BLOCK_BYTES` where it is divisible and one row is not more."""
        return (self.read(start, stop) for start, stop in self.spans())

    def spans(self) -> Iterator[tuple[int, int]]:
        """The first row and the end of each of these pieces."""
        rows = self.shape[0]
        row_bytes = 4 * self.num_elements // rows
        step = max(1, BLOCK_BYTES // row_bytes) if self.is_divisible else rows
        return ((start, min(start + step, rows)) for start in range(0, rows, step))


def from_bfloat16(values: npt.NDArray[np.uint16]) -> FloatArray:
    """Numbers whose bits are the upper half of a float32, little-endian."""
    return np.left_shift(values, 16, dtype="<u4").view("<f4")


def main_type(tensors: Mapping[str, Tensor]) -> str:
    """The type that most values are stored in."""
    counts: dict[str, int] = {}
    for tensor in tensors.values():
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.num_elements
    return max(counts, key=lambda name: counts[name], default="unknown")


def to_bfloat16(values: FloatArray) -> npt.NDArray[np.uint16]:
    """Finite values rounded to the nearest bfloat16, ties to even: the upper half of their bits, little-endian."""
    bits = np.ascontiguousarray(values, "<f4").view("<u4")
    rounded: npt.NDArray[np.uint16] = ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype("<u2")
    return rounded


def of_array(values: FloatArray, dtype: str = "F32") -> Tensor:
    """A tensor whose values are in memory; `dtype` is what a checkpoint stores them as."""
    return Tensor(values.shape, lambda start, stop: values[start:stop], dtype=dtype)


def changed(tensor: Tensor, change: Callable[[FloatArray], FloatArray]) -> Tensor:
    """The tensor with each value changed by itself: `change` gets rows and returns as many of the same length."""
    return replace(tensor, read=lambda start, stop: change(tensor.read(start, stop)))


def reordered(tensor: Tensor, order: npt.NDArray[np.int64]) -> Tensor:
    """The tensor with row `order[i]` of it as row i."""
    shape = (len(order), *tensor.shape[1:])
    return replace(tensor, shape=shape, read=lambda start, stop: tensor.whole()[order[start:stop]], is_divisible=False)


def kept_rows(tensor: Tensor, rows: npt.NDArray[np.int64]) -> Tensor:
    """The tensor with these rows of it, ascending; of what is divisible no more is read than lies between them."""

    def read(start: int, stop: int) -> FloatArray:
        wanted = rows[start:stop]
        if not len(wanted):
            return tensor.read(0, 0)
        between = tensor.read(int(wanted[0]), int(wanted[-1]) + 1)
        chosen: FloatArray = between[wanted - wanted[0]]
        return chosen

    return replace(tensor, shape=(len(rows), *tensor.shape[1:]), read=read)


def transposed(tensor: Tensor) -> Tensor:
    """A matrix with rows and columns exchanged."""
    rows, columns = tensor.shape
    return replace(
        tensor,
        shape=(columns, rows),
        read=lambda start, stop: np.ascontiguousarray(tensor.whole()[:, start:stop].T),
        is_divisible=False,
    )


def rows_of(tensor: Tensor, start: int, stop: int) -> Tensor:
    """The rows from `start` up to `stop` as a tensor of their own."""
    shape = (stop - start, *tensor.shape[1:])
    return replace(tensor, shape=shape, read=lambda a, b: tensor.read(start + a, start + b))


def stacked(rows: Sequence[Tensor]) -> Tensor:
    """A tensor of the rows of others, one after the other."""
    values = np.concatenate([each.whole() for each in rows])
    return of_array(values)
