"""The rows of a plan, of any of the tensors that have a row for each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

from converters.adapt.transplant.plan import Kind, Plan, Row
from converters.tensors import FloatArray, Tensor

# Of `RandomState`, for the first tensor; the next ones take the next. Source: OFA, `create_target_embeddings`.
SEED = 114514
# How many old rows are summed up at once.
_STEP = 4096


def planted(tensor: Tensor, plan: Plan, num_old: int, seed: int = SEED) -> Tensor:
    """The tensor with the rows of a plan in place of its own, of which the first `num_old` belong to tokens.

    All of the old tensor is in memory as float32 once the new one is read, and stays there with it. Sums are computed
    in float64.
    """

    @cache
    def source() -> FloatArray:
        return tensor.read(0, num_old).reshape(num_old, -1)

    @cache
    def chance() -> dict[int, FloatArray]:
        wanted = plan.drawn
        return dict(zip(wanted, drawn_rows(source(), len(plan), wanted, seed), strict=True)) if wanted else {}

    def read(start: int, stop: int) -> FloatArray:
        old = source()
        rows = [_row(old, each, chance(), start + at) for at, each in enumerate(plan.rows[start:stop])]
        return np.stack(rows).reshape(stop - start, *tensor.shape[1:])

    return replace(tensor, shape=(len(plan), *tensor.shape[1:]), read=read, is_divisible=True)


def _row(old: FloatArray, row: Row, chance: dict[int, FloatArray], at: int) -> FloatArray:
    if row.kind is Kind.DRAWN:
        return chance[at]
    if len(row.old) == 1 and row.weights[0] == 1:
        copied: FloatArray = old[row.old[0]]
        return copied
    total = np.zeros(old.shape[1])
    for start in range(0, len(row.old), _STEP):
        total += row.weights[start : start + _STEP] @ old[row.old[start : start + _STEP]].astype(np.float64)
    return total.astype(np.float32)


def drawn_rows(old: FloatArray, num_rows: int, wanted: Sequence[int], seed: int = SEED) -> FloatArray:
    """Rows of a table of `num_rows` drawn from the normal distribution of each column of `old`: those of `wanted`.

    The table is drawn as a whole, so a row does not depend on which others are wanted; `wanted` ascends.
    """
    mean, spread = old.mean(axis=0, dtype=np.float64), old.std(axis=0, dtype=np.float64)
    random = np.random.RandomState(seed)
    rows: npt.NDArray[np.int64] = np.asarray(wanted, np.int64)
    found = np.empty((len(rows), old.shape[1]), np.float32)
    for start in range(0, int(rows[-1]) + 1, _STEP):
        stop = min(start + _STEP, num_rows)
        drawn = random.normal(mean, spread, (stop - start, old.shape[1]))
        here = (rows >= start) & (rows < stop)
        found[here] = drawn[rows[here] - start]
    return found
