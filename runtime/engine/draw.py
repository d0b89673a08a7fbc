"""One draw from a row of logits: softmax(row / temperature) over what top-k, top-p and min-p let through, exactly.

An exponential of every entry of a large vocabulary costs several times what a comparison does. So the few likely
entries are found by a threshold, and those below it are bounded; they are added up only where the bound leaves open
which token is drawn.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from runtime.backends.base import Logits
from runtime.errors import InferenceFailed

if TYPE_CHECKING:
    from runtime.engine.sampling import SamplingParams

# How far below the peak, the largest logit, an entry is still of the head, in nats: at most a few thousand entries, in
# practice, that have nearly all of the probability.
_HEAD_DEPTH = 10.0

# How far below the peak a nucleus is looked for that reaches out of the head.
_NUCLEUS_DEPTHS = (15.0, math.inf)

# Rejected draws, at a microsecond each, that cost as much as adding up the weights of a large vocabulary.
_MOST_REJECTED = 100

# Entries that are compared, or added up, together before one is looked for among them.
_BLOCK = 512


class _Scratch(threading.local):
    """An array as long as a row that all draws of a thread write over: the pages of a fresh one cost more than that."""

    def __init__(self) -> None:
        self._array = np.empty(0, np.float32)

    def like(self, row: Logits) -> Logits:
        if len(self._array) != len(row):
            self._array = np.empty(len(row), np.float32)
        return self._array


_scratch = _Scratch()


@dataclass(frozen=True)
class Entries:
    """Some entries of a row: ascending ids, and logits less the peak. Of equal logits the lower id's goes first."""

    ids: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float64]

    @classmethod
    def of(cls, row: Logits, peak: float, threshold: float) -> Entries:
        """The entries that are not below `threshold`, which is rounded to float32."""
        mask = _scratch.like(row).view(np.bool_)[: len(row)]
        ids = np.flatnonzero(np.greater_equal(row, np.float32(threshold), out=mask))
        return cls(ids, row[ids].astype(np.float64) - peak)

    @cached_property
    def weights(self) -> npt.NDArray[np.float64]:
        """Probabilities at temperature 1, in units of the peak's."""
        return np.exp(self.logits)

    def tempered(self, temperature: float) -> npt.NDArray[np.float64]:
        """Probabilities at `temperature`, in units of the peak's."""
        return self.weights if temperature == 1 else np.exp(self.logits / temperature)

    def where(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Entries:
        """Those that a mask or ascending indices choose."""
        return Entries(self.ids[chosen], self.logits[chosen])

    def largest(self, count: int) -> Entries:
        """The first `count` of them, or all."""
        if count >= len(self.ids):
            return self
        least = np.partition(self.logits, -count)[-count]
        larger, equal = np.flatnonzero(self.logits > least), np.flatnonzero(self.logits == least)
        return self.where(np.sort(np.append(larger, equal[: count - len(larger)])))

    def nucleus(self, mass: float) -> Entries:
        """The first of them until their weights reach `mass`, the one that reaches it included."""
        sums = np.cumsum(np.sort(self.weights)[::-1])
        return self.largest(int(np.searchsorted(sums, mass)) + 1)

    def has_in_nucleus(self, token: int, mass: float) -> bool:
        """Whether `token` is in `nucleus(mass)`; False also where that depends on the order of equal logits."""
        index = int(np.searchsorted(self.ids, token))
        if index == len(self.ids) or self.ids[index] != token:
            return False
        before = self.weights[self.logits >= self.logits[index]].sum() - self.weights[index]
        return bool(before < mass)


class Drawer:
    """Draws the tokens of one request, from one seed."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params

    @cached_property
    def _random(self) -> np.random.Generator:
        # Made at the first draw: greedy requests never need numpy's generators, which take a while to import.
        return np.random.default_rng(self._params.seed)

    def draw(self, row: Logits) -> int:
        """A token of `row`, float32 of shape (vocabulary_size,).

        Raises:
            InferenceFailed: the row holds values that are not numbers.
        """
        params = self._params
        if params.top_k:
            return self._draw_among(self._top_k(row))
        peak = finite(row.max())
        threshold = self._min_p_threshold(peak) if params.min_p else float(np.float32(peak - _HEAD_DEPTH))
        head = Entries.of(row, peak, threshold)
        token = self._draw_by_rejection(row, peak, head, threshold)
        if params.top_p == 1:
            return self._draw_from_all(row, peak) if token is None else token
        # A token that is in the nucleus of the head alone is in that of all: what is below only makes it larger.
        if token is not None and head.has_in_nucleus(token, params.top_p * float(head.weights.sum())):
            return token
        kept = self._nucleus(row, peak, head)
        return token if token is not None and token in kept.ids else self._draw_among(kept)

    def _draw_by_rejection(self, row: Logits, peak: float, head: Entries, threshold: float) -> int | None:
        """Draw from the head and, where min-p does not end there, from all below it, without adding that up.

        Rejection sampling (von Neumann 1951): an entry below the threshold counts as if it were at it, and one that is
        drawn there is taken with the share of that weight which it really has. None where most would be rejected.
        """
        temperature = self._params.temperature
        weights = head.tempered(temperature)
        in_head = float(weights.sum())
        most = 0.0 if self._params.min_p else math.exp((threshold - peak) / temperature)
        below = most * len(row)
        if below > _MOST_REJECTED * in_head:
            return None
        while True:
            target = self._random.random() * (in_head + below)
            if target < in_head:
                return int(head.ids[_first_above(np.cumsum(weights), target)])
            token = min(int((target - in_head) / most), len(row) - 1)
            logit = float(row[token])
            if logit < threshold and self._random.random() * most < math.exp((logit - peak) / temperature):
                return token

    def _draw_from_all(self, row: Logits, peak: float) -> int:
        """Draw with all weights added up: first a block of the vocabulary, then an entry of it.

        Sums of blocks cost a tenth of a running sum over all, and lose nothing: both levels add in float64.
        """
        weights = _weights(row, peak, self._params.temperature)
        starts = np.arange(0, len(row), _BLOCK)
        sums = np.cumsum(np.add.reduceat(weights, starts), dtype=np.float64)
        target = self._random.random() * float(sums[-1])
        block = _first_above(sums, target)
        start = int(starts[block])
        within = np.cumsum(weights[start : start + _BLOCK], dtype=np.float64)
        return start + _first_above(within, target - (float(sums[block - 1]) if block else 0.0))

    def _draw_among(self, entries: Entries) -> int:
        sums = np.cumsum(entries.tempered(self._params.temperature))
        return int(entries.ids[_first_above(sums, self._random.random() * float(sums[-1]))])

    def _top_k(self, row: Logits) -> Entries:
        """What top-k, then top-p of that, then min-p let through.

        As many blocks as tokens are wanted have a maximum at the threshold or above: so many entries reach it, at
        least, and not many more.
        """
        params = self._params
        count = min(params.top_k, len(row))
        block = max(1, min(_BLOCK, len(row) // (4 * count)))
        maxima = np.maximum.reduceat(row, np.arange(0, len(row), block))
        peak = finite(maxima.max())
        kept = Entries.of(row, peak, float(np.partition(maxima, -count)[-count])).largest(count)
        if params.top_p < 1:
            kept = kept.nucleus(params.top_p * float(kept.weights.sum()))
        return kept.where(kept.logits >= self._min_p_threshold(peak) - peak)

    def _nucleus(self, row: Logits, peak: float, head: Entries) -> Entries:
        """What top-p and then min-p let through, all weights added up."""
        mass = self._params.top_p * float(_weights(row, peak, 1.0).sum())
        found = head
        for depth in _NUCLEUS_DEPTHS:
            if found.weights.sum() >= mass:
                break
            found = Entries.of(row, peak, peak - depth)
        kept = found.nucleus(mass)
        return kept.where(kept.logits >= self._min_p_threshold(peak) - peak)

    def _min_p_threshold(self, peak: float) -> float:
        """The least logit that min-p lets through, as a float32."""
        return float(np.float32(peak + math.log(self._params.min_p))) if self._params.min_p else -math.inf


def finite(peak: np.float32) -> float:
    """The largest logit of a row, checked: numpy's maximum is not a number where any entry is not.

    Raises:
        InferenceFailed: it is not a number, or infinite.
    """
    if not math.isfinite(peak):
        raise InferenceFailed("The model computed values that are not numbers.", remedy="Its file may be damaged.")
    return float(peak)


def _weights(row: Logits, peak: float, temperature: float) -> Logits:
    """exp((row - peak) / temperature), in the scratch array."""
    weights = np.subtract(row, np.float32(peak), out=_scratch.like(row))
    if temperature != 1:
        np.divide(weights, np.float32(temperature), out=weights)
    return np.exp(weights, out=weights)


def _first_above(sums: npt.NDArray[np.float64], target: float) -> int:
    """Index of the first running sum above `target`; the last one where rounding leaves none."""
    return min(int(np.searchsorted(sums, target, side="right")), len(sums) - 1)
