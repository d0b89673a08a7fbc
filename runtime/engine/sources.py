"""The sources of an encoder-decoder's running sequences: who may join them, and what is encoded when.

A backend may have to encode all sources again when one joins (`SourceEncoder.reads_anew`), which holds up the sequences
that run. So they get at least as much time as the last encoding took before the next one joins: at worst, half of the
time goes into it. And the sources must fit into one batch, and be read with one adapter. Whoever may not join waits,
and so do those behind.

A backend may also compute something of each source in every step, whether anybody still looks at it or not. When that
has cost as much as encoding the others would, they are encoded without those that nobody looks at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence as Many

from runtime.backends.base import Source, SourceEncoder
from runtime.engine.request import Sequence

# Steps that cost as much for a token of a source as encoding it: by the sizes of their matrices 6 for mT5-small, and 48
# for ByT5-small, whose encoder has three times the layers of its decoder.
_STEPS = 32
_NOWHERE = -1


class SourceBatch:
    """What the encoder has read, for which slots."""

    def __init__(self, encoder: SourceEncoder, clock: Callable[[], float] = time.monotonic) -> None:
        self._encoder = encoder
        self._clock = clock
        # The slot from which each sequence sees its source. One that has ended stays until others are encoded.
        self._slots: dict[Sequence, int | None] = {}
        self._next_join = 0.0
        self._num_encoded = 0
        # Tokens that nobody looked at, summed over the steps.
        self._num_idle = 0

    def may_join(self, sequence: Sequence, running: Many[Sequence]) -> bool:
        """Whether `sequence` can run beside the others from the next step on."""
        if not running:
            return True
        num_tokens = sum(len(one.source) for one in (*running, sequence))
        if running[0].adapter != sequence.adapter or num_tokens > self._encoder.batch_size:
            return False
        if not self._encoder.reads_anew:
            return True
        is_joining = any(one not in self._slots for one in running)
        return is_joining or self._clock() >= self._next_join

    def encode(self, running: Many[Sequence]) -> int:
        """Encode the sources of all that run before the next step, if that is due; the number of tokens that took.

        Raises:
            InferenceFailed: the backend failed; everything is encoded anew the next time.
        """
        if not self._encoder.reads_anew:
            return self._encode_new(running)
        num_tokens = sum(map(len, {one.source for one in running}))
        self._num_idle += self._num_encoded - num_tokens
        are_there = all(one in self._slots and self._slots[one] == one.slot for one in running)
        if are_there and self._num_idle < _STEPS * num_tokens:
            return 0
        self._slots.clear()
        started = self._clock()
        self._encode(running)
        ended = self._clock()
        self._next_join = 2 * ended - started
        self._slots = {one: one.slot for one in running}
        self._num_encoded, self._num_idle = num_tokens, 0
        return num_tokens

    def _encode_new(self, running: Many[Sequence]) -> int:
        new = [one for one in running if self._slots.get(one, _NOWHERE) != one.slot]
        if not new:
            return 0
        known = {one.source for one in running if one not in new}
        self._slots.clear()
        self._encode(running)
        self._slots = {one: one.slot for one in running}
        return sum(map(len, {one.source for one in new} - known))

    def _encode(self, running: Many[Sequence]) -> None:
        slots: dict[tuple[int, ...], list[int]] = {}
        for one in running:
            if one.slot is not None:
                slots.setdefault(one.source, []).append(one.slot)
        self._encoder.encode([Source(tokens, seen_from) for tokens, seen_from in slots.items()], running[0].adapter)
