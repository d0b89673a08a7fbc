"""From a row of logits to the next token, in numpy, the same for every backend.

The order: bias, penalties, greedy where the temperature is 0, top-k, top-p, min-p, temperature, seeded draw. Filters
look at the model's own distribution, before temperature, so that a high temperature does not let in what they keep out.

Sources: repetition penalty, Keskar et al. 2019 (CTRL); nucleus (top-p), Holtzman et al. 2020; min-p, Nguyen et al.
2024; frequency and presence penalties, the OpenAI API reference.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

from runtime.backends.base import Logits
from runtime.config import SamplingDefaults
from runtime.errors import InferenceFailed, InvalidRequest

_DEFAULTS = SamplingDefaults()

# How far below the best logit candidates are looked for, in nats, before the whole row is taken. Counting by a
# threshold costs one pass over the vocabulary; sorting 262,144 entries costs a hundred times as much.
_DEPTHS = (3.0, 6.0, 9.0, 13.0, 20.0, math.inf)

# Below this a temperature is greedy: dividing by it would leave the range of float32.
_GREEDY_BELOW = 1e-6

# Entries of the vocabulary whose weights are added up together before a draw looks for its token.
_BLOCK = 512

_MAX_SEED = 2**64 - 1


class SamplingParams(msgspec.Struct, frozen=True):
    """How the next token is chosen.

    temperature: 0 is greedy. top_k: 0 is off. top_p, min_p: shares, 1 and 0 are off. repetition_penalty: divides the
    logits of all tokens seen so far, prompt included; 1 is off. frequency_penalty, presence_penalty: subtracted for
    generated tokens, each time or once. logit_bias: added, by token id. seed: None draws a new one each time.
    """

    temperature: float = _DEFAULTS.temperature
    top_k: int = _DEFAULTS.top_k
    top_p: float = _DEFAULTS.top_p
    min_p: float = _DEFAULTS.min_p
    repetition_penalty: float = _DEFAULTS.repetition_penalty
    frequency_penalty: float = _DEFAULTS.frequency_penalty
    presence_penalty: float = _DEFAULTS.presence_penalty
    logit_bias: dict[int, float] = {}
    seed: int | None = None

    def check(self, vocabulary_size: int) -> None:
        """Refuse what cannot be honoured.

        Raises:
            InvalidRequest: a value is not finite or out of its range, or a biased token does not exist.
        """
        ranges = {
            "temperature": (0.0, math.inf),
            "top_k": (0, math.inf),
            "top_p": (0.0, 1.0),
            "min_p": (0.0, 1.0),
            "repetition_penalty": (1e-3, 1e3),
            "frequency_penalty": (-2.0, 2.0),
            "presence_penalty": (-2.0, 2.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
                raise InvalidRequest(f"{name} must be {bounds}, not {value}.", param=name)
        if self.seed is not None and not 0 <= self.seed <= _MAX_SEED:
            raise InvalidRequest(f"seed must be from 0 to {_MAX_SEED}, not {self.seed}.", param="seed")
        for token, bias in self.logit_bias.items():
            if not 0 <= token < vocabulary_size:
                raise InvalidRequest(
                    f"logit_bias names token {token}, but the vocabulary has {vocabulary_size} tokens.",
                    param="logit_bias",
                )
            if not -100 <= bias <= 100:
                raise InvalidRequest(
                    f"logit_bias must be from -100 to 100, not {bias} (token {token}).", param="logit_bias"
                )


class Sampler:
    """Chooses the tokens of one request; it remembers what it chose, for the penalties."""

    def __init__(self, params: SamplingParams, prompt: Sequence[int]) -> None:
        self._params = params
        self._scratch: Logits | None = None
        self._level = 0
        self._generated: Counter[int] = Counter()
        self._seen = dict.fromkeys(prompt) if params.repetition_penalty != 1 else {}
        self._bias_ids = np.fromiter(params.logit_bias.keys(), np.int64)
        self._bias = np.fromiter(params.logit_bias.values(), np.float32)

    @cached_property
    def _random(self) -> np.random.Generator:
        # Made at the first draw: greedy requests never need numpy's generators, which take a while to import.
        return np.random.default_rng(self._params.seed)

    def sample(self, row: Logits) -> int:
        """Choose the next token from `row`, float32 of shape (vocabulary_size,), which is changed in place.

        Raises:
            InferenceFailed: the row holds values that are not numbers.
        """
        if len(self._bias_ids):
            row[self._bias_ids] += self._bias
        self._penalise(row)
        best = int(row.argmax())
        if not math.isfinite(row[best]):
            raise InferenceFailed("The model computed values that are not numbers.", remedy="Its file may be damaged.")
        token = best if self._params.temperature < _GREEDY_BELOW else self._draw(row, float(row[best]))
        self.note(token)
        return token

    def note(self, token: int) -> None:
        """Remember a token of the answer, for the penalties."""
        self._generated[token] += 1
        if self._params.repetition_penalty != 1:
            self._seen[token] = None

    def _penalise(self, row: Logits) -> None:
        params = self._params
        if params.repetition_penalty != 1 and self._seen:
            ids = np.fromiter(self._seen, np.int64)
            seen = row[ids]
            row[ids] = np.where(seen > 0, seen / params.repetition_penalty, seen * params.repetition_penalty)
        if (params.frequency_penalty or params.presence_penalty) and self._generated:
            ids = np.fromiter(self._generated.keys(), np.int64)
            counts = np.fromiter(self._generated.values(), np.float32)
            row[ids] -= params.frequency_penalty * counts + params.presence_penalty

    def _draw(self, row: Logits, peak: float) -> int:
        params = self._params
        if params.top_k == 0 and params.top_p == 1 and params.min_p == 0:
            return self._draw_from_all(row, peak)
        ids = self._filter(row, peak)
        sums = np.cumsum(np.exp((row[ids].astype(np.float64) - peak) / params.temperature))
        return int(ids[_first_above(sums, self._random.random() * sums[-1])])

    def _draw_from_all(self, row: Logits, peak: float) -> int:
        """Draw with the probabilities softmax(row / temperature): first a block of the vocabulary, then in it.

        Sums of blocks cost a tenth of a running sum over all, and lose nothing: both levels add in float64.
        """
        weights = self._weights(row, peak, self._params.temperature)
        starts = np.arange(0, len(row), _BLOCK)
        blocks = np.cumsum(np.add.reduceat(weights, starts), dtype=np.float64)
        target = self._random.random() * blocks[-1]
        block = _first_above(blocks, target)
        start = int(starts[block])
        within = np.cumsum(weights[start : start + _BLOCK], dtype=np.float64)
        return start + _first_above(within, target - (float(blocks[block - 1]) if block else 0.0))

    def _filter(self, row: Logits, peak: float) -> npt.NDArray[np.int64]:
        """Ids that top-k, then top-p of what is left, then min-p let through, the likeliest first; never none."""
        params = self._params
        is_nucleus = params.top_p < 1 and not params.top_k
        total = float(self._weights(row, peak, 1.0).sum()) if is_nucleus else 0.0
        # Most tokens need about as many candidates as the one before.
        for level in range(max(self._level - 1, 0), len(_DEPTHS)):
            depth = _DEPTHS[level]
            ids = np.flatnonzero(row >= peak - depth)
            weights = np.exp(row[ids].astype(np.float64) - peak)
            if params.top_k:
                is_enough = len(ids) >= min(params.top_k, len(row))
            elif params.top_p < 1:
                is_enough = weights.sum() >= params.top_p * total
            else:
                is_enough = math.exp(-depth) <= params.min_p
            if is_enough:
                break
        self._level = level
        order = np.argsort(-row[ids], kind="stable")[: params.top_k or None]
        ids, weights = ids[order], weights[order]
        if params.top_p < 1:
            mass = np.cumsum(weights) / (total or weights.sum())
            keep = int(np.searchsorted(mass, params.top_p)) + 1
            ids, weights = ids[:keep], weights[:keep]
        kept: npt.NDArray[np.int64] = ids[weights >= params.min_p]
        return kept

    def _weights(self, row: Logits, peak: float, temperature: float) -> Logits:
        """exp((row - peak) / temperature), in a buffer that the next call writes over."""
        if self._scratch is None:
            self._scratch = np.empty_like(row)
        np.subtract(row, np.float32(peak), out=self._scratch)
        if temperature != 1:
            np.divide(self._scratch, np.float32(temperature), out=self._scratch)
        return np.exp(self._scratch, out=self._scratch)


def _first_above(sums: npt.NDArray[np.float64], target: float) -> int:
    """Index of the first running sum above `target`; the last one where rounding leaves none."""
    return min(int(np.searchsorted(sums, target, side="right")), len(sums) - 1)
