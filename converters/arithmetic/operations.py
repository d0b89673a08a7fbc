"""Arithmetic over tensors that are read a piece at a time: computed in float64, given as float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from converters.tensors import FloatArray, Tensor

_WEIGHTS = frozenset({"F64", "F32", "F16", "BF16"})


def is_weight(tensor: Tensor) -> bool:
    """Whether it holds numbers to compute with; tables of positions and masks are whole numbers."""
    return tensor.dtype in _WEIGHTS


def weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The sum of tensors of one shape, each times its weight, in the first one's type."""

    def read(start: int, stop: int) -> FloatArray:
        total = weights[0] * _float64(tensors[0], start, stop)
        for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
            total += weight * _float64(tensor, start, stop)
        return total.astype(np.float32)

    return replace(tensors[0], read=read, is_divisible=all(tensor.is_divisible for tensor in tensors))


def transferred(base: Tensor, finetuned: Tensor, target: Tensor, scale: float) -> Tensor:
    """target + scale (finetuned - base), in the target's type (https://arxiv.org/abs/2503.20110).

    Where target and base are equal and the scale is 1, the two cancel without a rounding: what is left is finetuned.
    """

    def read(start: int, stop: int) -> FloatArray:
        old, new, to = (_float64(tensor, start, stop) for tensor in (base, finetuned, target))
        total = to + scale * (new - old)
        if scale == 1:
            total = np.where(to == old, new, total)
        return total.astype(np.float32)

    is_divisible = base.is_divisible and finetuned.is_divisible and target.is_divisible
    return replace(target, read=read, is_divisible=is_divisible)


def padded(tensor: Tensor, rows: int) -> Tensor:
    """The tensor with rows of zeros after its own, `rows` in all."""
    held = tensor.shape[0]
    if rows == held:
        return tensor

    def read(start: int, stop: int) -> FloatArray:
        values = np.zeros((stop - start, *tensor.shape[1:]), np.float32)
        if start < held:
            own = tensor.read(start, min(stop, held))
            values[: len(own)] = own
        return values

    return replace(tensor, shape=(rows, *tensor.shape[1:]), read=read)


def _float64(tensor: Tensor, start: int, stop: int) -> npt.NDArray[np.float64]:
    return tensor.read(start, stop).astype(np.float64)
