"""Which tokens of which sequences the next step computes: continuous batching, first come first served.

Its state is two queues. The policy, in order:

1. While the running sequences' tokens need more KV cells than are free, kept prefixes go, then the youngest sequence:
   it returns to the head of the queue and will be computed anew.
2. Waiting sequences are admitted in their order while a slot is free and their tokens fit beside the others', each
   grown by one. What another slot holds of a sequence's beginning is shared instead of computed; a sequence whose
   beginning another one is reading at this moment waits for it, and lets those behind it pass.
3. Sequences that generate come first, one token each, so that a long prompt never stalls them; what is left of the
   batch goes to prompts, oldest first.
"""

from __future__ import annotations

from collections import deque

from runtime.backends.base import Decoder
from runtime.engine.prefix import MIN_SHARED, KVCache, Match, common_prefix
from runtime.engine.request import Sequence
from runtime.engine.statistics import Totals
from runtime.errors import QueueFull

Share = tuple[Sequence, int]


class Scheduler:
    """Holds every sequence between its arrival and its end."""

    def __init__(self, decoder: Decoder, *, max_waiting: int) -> None:
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.cache = KVCache(decoder)
        self.totals = Totals()
        self._batch_size = decoder.batch_size
        self._max_sequences = decoder.max_sequences
        self._max_waiting = max_waiting

    @property
    def has_work(self) -> bool:
        """Whether any sequence waits or runs."""
        return bool(self.waiting or self.running)

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence.

        Raises:
            QueueFull: as many wait as may.
        """
        if len(self.waiting) >= self._max_waiting:
            raise QueueFull(num_waiting=len(self.waiting))
        self.waiting.append(sequence)

    def schedule(self) -> list[Share]:
        """The next step: sequences, each with the number of its pending tokens to compute now."""
        while not self.cache.make_room(self._num_pending()):
            youngest = self.running.pop()
            self._vacate(youngest)
            self.waiting.appendleft(youngest)
            self.totals += Totals(preemptions=1)

        for sequence in list(self.waiting):
            if len(self.running) >= self._max_sequences:
                break
            match = self.cache.match(sequence.tokens)
            if self._should_wait(sequence, match):
                continue
            needed = self._num_pending() + len(sequence.tokens) - (match.length if match else 0)
            fits = self.cache.make_room(needed + len(self.running), spare=match)
            if not fits and self.running:
                break
            self._admit(sequence, match)
            if not fits:
                # Alone it fits always, once the rest of what it shares the beginning of has gone too.
                self.cache.make_room(sequence.num_pending)

        step: list[Share] = []
        budget = self._batch_size
        for sequence in sorted(self.running, key=lambda sequence: sequence.num_pending > 1):
            count = min(sequence.num_pending, budget)
            if count:
                step.append((sequence, count))
                budget -= count
        return step

    def advance(self, sequence: Sequence, count: int) -> None:
        """Note that a step has computed `count` more tokens of a sequence."""
        slot = slot_of(sequence)
        self.cache.extend(slot, sequence.tokens[sequence.num_computed : sequence.num_computed + count])
        sequence.num_computed += count

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request, waiting or running."""
        return next((found for found in (*self.running, *self.waiting) if found.request_id == request_id), None)

    def finish(self, sequence: Sequence) -> None:
        """Let go of a sequence that is done or cancelled; its cells are kept until they are needed."""
        if sequence.slot is None:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            self.cache.keep(sequence.slot)
            sequence.slot = None

    def discard(self, sequence: Sequence) -> None:
        """Let go of a sequence that failed, and of its cells, which may hold anything."""
        if sequence.slot is None:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            self._vacate(sequence)

    def _num_pending(self) -> int:
        return sum(sequence.num_pending for sequence in self.running)

    def _should_wait(self, sequence: Sequence, match: Match | None) -> bool:
        """Whether a running sequence is about to compute more of this one's beginning than any slot holds now."""
        available = match.length if match else MIN_SHARED - 1
        return any(
            common_prefix(other.tokens, sequence.tokens[:-1]) > available
            for other in self.running
            if other.num_pending > 1
        )

    def _admit(self, sequence: Sequence, match: Match | None) -> None:
        self.waiting.remove(sequence)
        sequence.slot, sequence.num_computed = self.cache.open(match)
        sequence.mark_started(num_cached=sequence.num_computed)
        self.totals += Totals(cached_tokens=sequence.num_computed)
        self.running.append(sequence)

    def _vacate(self, sequence: Sequence) -> None:
        self.cache.drop(slot_of(sequence))
        sequence.slot = None
        sequence.num_computed = 0


def slot_of(sequence: Sequence) -> int:
    """The slot of a running sequence."""
    if sequence.slot is None:
        raise RuntimeError(f"{sequence.request_id} waits, and has no slot.")
    return sequence.slot
