"""Which tokens of which sequences the next step computes: continuous batching, first come first served.

Its state is two queues. The policy, in order:

1. While the running sequences' tokens need more KV cells than there are, the youngest goes back to the head of the
   queue and will be computed anew.
2. The queue's head is admitted while a slot is free and its tokens fit beside the others, each grown by one.
3. Sequences that generate come first, one token each, so that a long prompt never stalls them; what is left of the
   batch goes to prompts, oldest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from runtime.engine.request import Sequence
from runtime.errors import QueueFull

Share = tuple[Sequence, int]


class Scheduler:
    """Holds every sequence between its arrival and its end."""

    def __init__(
        self,
        *,
        batch_size: int,
        num_cells: int,
        max_sequences: int,
        max_waiting: int,
        forget: Callable[[int], None],
    ) -> None:
        """`forget` frees the KV cells of a slot; it is called whenever a sequence leaves its slot."""
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._batch_size = batch_size
        self._num_cells = num_cells
        self._max_waiting = max_waiting
        self._free_slots = list(range(max_sequences))
        self._forget = forget

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
        demand = sum(len(sequence.tokens) for sequence in self.running)
        while demand > self._num_cells:
            youngest = self.running.pop()
            demand -= len(youngest.tokens)
            self._vacate(youngest)
            self.waiting.appendleft(youngest)

        while self.waiting and self._free_slots:
            head = self.waiting[0]
            if self.running and demand + len(head.tokens) + len(self.running) > self._num_cells:
                break
            head.slot = self._free_slots.pop()
            head.mark_started()
            demand += len(head.tokens)
            self.running.append(self.waiting.popleft())

        step: list[Share] = []
        budget = self._batch_size
        for sequence in sorted(self.running, key=lambda sequence: sequence.num_pending > 1):
            count = min(sequence.num_pending, budget)
            if count:
                step.append((sequence, count))
                budget -= count
        return step

    def find(self, request_id: str) -> Sequence | None:
        """The sequence of a request, waiting or running."""
        return next((found for found in (*self.running, *self.waiting) if found.request_id == request_id), None)

    def remove(self, sequence: Sequence) -> None:
        """Let go of a sequence that is done, cancelled or failed, and of its KV cells."""
        if sequence.slot is None:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            self._vacate(sequence)

    def _vacate(self, sequence: Sequence) -> None:
        assert sequence.slot is not None  # noqa: S101  # only running sequences are vacated
        self._forget(sequence.slot)
        self._free_slots.append(sequence.slot)
        sequence.slot = None
        sequence.num_computed = 0
