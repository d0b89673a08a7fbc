"""Which tokens of which sequences the next step computes: continuous batching, first come first served.

Its state is two queues, and whose turn it is: a step is computed with one adapter, or none. The policy, in order:

1. While the running sequences' tokens need more KV cells than are free, kept prefixes go, then the youngest sequence:
   it returns to the head of the queue and will be computed anew.
2. Waiting sequences are admitted in their order while a slot is free and their tokens fit beside the others', each
   grown by one. What another slot holds of a sequence's beginning is shared instead of computed, and what was saved of
   it restored; a sequence whose beginning another one is reading at this moment waits for it, and lets those behind it
   pass. The sequences of an encoder-decoder share nothing: each answers a source of its own (`sources.py`).
3. The sequences of one adapter have their turn, a few steps long; then those of the adapter that waited longest.
4. Among them those that generate come first, one token each, so that a long prompt never stalls them; what is left of
   the batch goes to prompts, oldest first.
5. While nothing waits and all that run generate, they may get guesses of their next tokens to compute as well.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from runtime.backends.base import Decoder
from runtime.engine.prefix import KVCache, Match, common_prefix, least_shared
from runtime.engine.prefix_store import PrefixStore
from runtime.engine.request import Sequence
from runtime.engine.sources import SourceBatch
from runtime.engine.speculation import Speculation
from runtime.engine.statistics import Totals
from runtime.errors import QueueFull

# A change of the adapter costs llama.cpp about a third of a small model's step; longer turns make streams stutter.
_TURN_STEPS = 4
# A row of logits takes a megabyte where the vocabulary has 262,144 tokens.
_MOST_ROWS = 16


class Share(NamedTuple):
    """A sequence's part of a step: so many of its pending tokens, and guesses of those that follow."""

    sequence: Sequence
    num_tokens: int
    draft: tuple[int, ...] = ()

    @property
    def num_logits(self) -> int:
        """Rows of logits that are wanted, after the last tokens of this part."""
        if self.sequence.wants_prompt_logprobs:
            return self.num_tokens
        return 1 + len(self.draft) if self.num_tokens == self.sequence.num_pending else 0


class Scheduler:
    """Holds every sequence between its arrival and its end."""

    def __init__(self, decoder: Decoder, *, max_waiting: int, max_draft: int, store: PrefixStore | None = None) -> None:
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.cache = KVCache(decoder, store)
        self.sources = None if decoder.sources is None else SourceBatch(decoder.sources)
        self.speculation = Speculation(max_draft)
        self.totals = Totals()
        self._batch_size = decoder.batch_size
        self._max_sequences = decoder.max_sequences
        self._max_waiting = max_waiting
        # The adapter whose turn it is, the steps left of it, and the number of each one's last turn.
        self._adapter: str | None = None
        self._steps_left = 0
        self._last_turns: dict[str | None, int] = {}

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
        """The next step: what is computed now of which sequences, which have one adapter in common."""
        while not self.cache.make_room(self._num_pending()):
            youngest = self.running.pop()
            self._vacate(youngest)
            self.waiting.appendleft(youngest)
            self.totals += Totals(preemptions=1)

        for sequence in list(self.waiting):
            if len(self.running) >= self._max_sequences:
                break
            if self.sources is not None and not self.sources.may_join(sequence, self.running):
                break
            match = self._match(sequence)
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
        adapter = self._choose_adapter()
        group = [sequence for sequence in self.running if sequence.adapter == adapter]
        for sequence in sorted(group, key=lambda sequence: sequence.num_pending > 1):
            count = min(sequence.num_pending, budget, _MOST_ROWS if sequence.wants_prompt_logprobs else budget)
            if count:
                step.append(Share(sequence, count))
                budget -= count
        if len(step) == len(self.running) and not self.waiting and all(one.num_pending == 1 for one in self.running):
            return self._with_drafts(step)
        return step

    def advance(self, sequence: Sequence, count: int) -> None:
        """Note that a step has computed `count` more tokens of a sequence."""
        slot = slot_of(sequence)
        self.cache.extend(slot, sequence.tokens[sequence.num_computed : sequence.num_computed + count])
        sequence.num_computed += count

    def cut(self, sequence: Sequence) -> None:
        """Let go of what a step has computed for a sequence beyond what was noted."""
        self.cache.cut(slot_of(sequence))

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

    def _match(self, sequence: Sequence) -> Match | None:
        """What there is of its beginning already: nothing where logits of it are wanted, or it depends on a source."""
        if sequence.wants_prompt_logprobs or sequence.source:
            return None
        return self.cache.match(sequence.tokens, sequence.adapter)

    def _should_wait(self, sequence: Sequence, match: Match | None) -> bool:
        """Whether a running sequence is about to compute more of this one's beginning than any slot holds now."""
        if sequence.source:
            return False
        available = match.num_tokens if match else least_shared(sequence.tokens) - 1
        return any(
            common_prefix(other.tokens, sequence.tokens[:-1]) > available
            for other in self.running
            if other.num_pending > 1 and other.adapter == sequence.adapter
        )

    def _choose_adapter(self) -> str | None:
        present = dict.fromkeys(sequence.adapter for sequence in self.running)
        if self._steps_left == 0 or self._adapter not in present:
            self._adapter = min(present, key=lambda adapter: self._last_turns.get(adapter, 0))
            self._last_turns[self._adapter] = 1 + max(self._last_turns.values(), default=0)
            self._steps_left = _TURN_STEPS
        self._steps_left -= 1
        return self._adapter

    def _with_drafts(self, step: list[Share]) -> list[Share]:
        drafts = self.speculation.draft([share.sequence for share in step], self._batch_size - len(step))
        if not self.cache.make_room(len(step) + sum(map(len, drafts))):
            return step
        return [share._replace(draft=tuple(draft)) for share, draft in zip(step, drafts, strict=True)]

    def _admit(self, sequence: Sequence, match: Match | None) -> None:
        self.waiting.remove(sequence)
        sequence.slot, sequence.num_computed = self.cache.open(match, sequence.adapter)
        # Several answers to one source need it encoded once.
        is_encoded = any(sequence.source and sequence.source == other.source for other in self.running)
        num_cached = len(sequence.source) if is_encoded else sequence.num_computed
        sequence.mark_started(num_cached=num_cached)
        self.totals += Totals(cached_tokens=num_cached)
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
