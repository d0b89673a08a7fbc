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

import msgspec
import numpy as np

from runtime.backends.base import Ids, Logits
from runtime.config import SamplingDefaults
from runtime.engine.draw import Drawer, finite
from runtime.errors import InvalidRequest

_DEFAULTS = SamplingDefaults()

# Below this a temperature is greedy: dividing by it would leave the range of float32.
_GREEDY_BELOW = 1e-6

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
        self._drawer = Drawer(params)
        self._generated: Counter[int] = Counter()
        self._seen = dict.fromkeys(prompt) if params.repetition_penalty != 1 else {}
        self._bias_ids = np.fromiter(params.logit_bias.keys(), np.int64)
        self._bias = np.fromiter(params.logit_bias.values(), np.float32)

    def sample(self, row: Logits, allowed: Ids | None = None) -> int:
        """Choose the next token from `row`, float32 of shape (vocabulary_size,), which is changed in place.

        Where there are `allowed` ids, ascending, it is one of these, chosen as if all others had no probability.

        Raises:
            InferenceFailed: the row holds values that are not numbers.
        """
        if len(self._bias_ids):
            row[self._bias_ids] += self._bias
        self._penalise(row)
        if allowed is not None:
            row = row[allowed]
        if self._params.temperature < _GREEDY_BELOW:
            token = int(row.argmax())
            finite(row[token])
        else:
            token = self._drawer.draw(row)
        if allowed is not None:
            token = int(allowed[token])
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
