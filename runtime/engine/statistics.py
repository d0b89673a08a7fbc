"""What an engine has done, and what it holds at this moment: a worker's `Pulse` carries it, `/metrics` shows it."""

from __future__ import annotations

import msgspec


class Totals(msgspec.Struct, frozen=True):
    """Counts since the engine started, none of which ever falls.

    steps: passes through the model. sequences: how many took part in each step, summed, so that `sequences / steps` is
    the mean batch size. prefill_tokens: tokens of prompts that were computed, again where a preempted sequence is
    computed anew. decode_tokens: tokens generated; the one that ends an answer is not counted. cached_tokens: tokens
    that needed no computing, since the KV cache held them. preemptions: sequences sent back to the queue for want of KV
    cells. drafted_tokens: guessed ahead; accepted_tokens: those of them that were right.
    """

    steps: int = 0
    sequences: int = 0
    prefill_tokens: int = 0
    decode_tokens: int = 0
    cached_tokens: int = 0
    preemptions: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0

    def __add__(self, other: Totals) -> Totals:
        counts = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Totals(*(ours + theirs for ours, theirs in counts))


class Spent(msgspec.Struct, frozen=True):
    """Seconds since the engine started, by what they went to; the engine's own work is in none of them.

    tokenizing: prompts, from text to a sequence that can wait. computing: passes through the model, up to logits in
    memory. sampling: constraints, rules and choosing tokens. detokenizing: from chosen tokens to text. Beams count in
    none.
    """

    tokenizing: float = 0.0
    computing: float = 0.0
    sampling: float = 0.0
    detokenizing: float = 0.0


class EngineStatistics(msgspec.Struct, frozen=True):
    """`totals`, and at this moment: sequences that wait, run and are kept, KV cells in all, and those that are free.

    A kept sequence's cells do not count as free, though they are given up when they are needed. `spent` is where its
    time went.
    """

    totals: Totals = Totals()
    num_waiting: int = 0
    num_running: int = 0
    num_kept: int = 0
    num_cells: int = 0
    num_free_cells: int = 0
    spent: Spent = Spent()
