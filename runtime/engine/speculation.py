"""Guessing several tokens ahead from what a text itself holds, for sequences that generate.

A step computes the guesses together with the last token, and the sampler then chooses as it always does: a guess
counts only where it is what was chosen, so the answer is the one that single steps give. Answers that quote their
prompt (summaries, corrections, code) or repeat themselves gain; others lose the time of the wrong guesses. So the time
is measured, and guessing rests for a sequence where it does not pay. Source: prompt lookup decoding, Saxena 2023.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import NamedTuple

from runtime.engine.request import Sequence

# Tokens that must have stood together before for what followed them to be a guess: so many while guesses pay, and so
# many to begin with. Three stand together by chance in any text; a copy has five two tokens later.
_NUM_SAME, _NUM_SURE = 3, 5
_FIRST_LENGTH = 3
# With more sequences the batch is full enough: a token more in a step of 16 takes nearly as long as one of its own.
_MOST_SEQUENCES = 8
# Kernels compute in tiles: on a processor with AVX-512, 9 tokens were measured to take longer than 12, and 5 than 8.
_TILE = 4
# Share of the account that is carried over from one guess to the next.
_MEMORY = 0.8
# Steps without guesses after they did not pay; doubled each time.
_FIRST_REST, _MOST_REST = 8, 256
# Weight of the newest step in the mean duration of a step without guesses.
_NEWEST = 0.1


class Outcome(NamedTuple):
    """What became of the guesses for one sequence in a step."""

    sequence: Sequence
    num_drafted: int
    num_accepted: int


class PromptLookup:
    """Guesses that a text goes on as it did when its last tokens stood there before."""

    def __init__(self, tokens: list[int]) -> None:
        """`tokens` is looked at anew with each guess: it is the list that grows."""
        self._tokens = tokens
        self._followers: dict[tuple[int, ...], int] = {}
        self._num_seen = _NUM_SAME

    def guess(self, count: int, num_same: int = _NUM_SAME) -> list[int]:
        """The `count` next tokens; none where the last `num_same`, 3 or more, never stood there before."""
        tokens = self._tokens
        for at in range(self._num_seen, len(tokens)):
            self._followers[tuple(tokens[at - _NUM_SAME : at])] = at
        self._num_seen = max(self._num_seen, len(tokens))
        at = self._followers.get(tuple(tokens[-_NUM_SAME:]), len(tokens))
        period = len(tokens) - at
        if period == 0 or tokens[max(0, at - num_same) : at] != tokens[-num_same:]:
            return []
        return [tokens[at + ahead % period] for ahead in range(count)]


@dataclass
class _Record:
    """What guessing for one sequence has shown so far.

    `gained` tokens came of its guesses, which took the time of `paid` tokens without guesses. `rest` is the number of
    steps to go without guesses, `next_rest` how many it will be the next time.
    """

    lookup: PromptLookup
    length: int = _FIRST_LENGTH
    gained: float = 0.0
    paid: float = 0.0
    rest: int = 0
    next_rest: int = _FIRST_REST

    def wish(self) -> int:
        """How many guesses it is worth making now; 0 while it rests, or where nothing can be guessed."""
        if self.rest > 0:
            self.rest -= 1
            return 0
        return len(self.lookup.guess(self.length, _NUM_SAME if self.gained > self.paid else _NUM_SURE))

    def learn(self, num_drafted: int, num_accepted: int, paid: float) -> None:
        """Add what a step brought, and took, and decide on the next one."""
        self.gained = _MEMORY * self.gained + num_accepted
        self.paid = _MEMORY * self.paid + paid
        if self.gained < self.paid:
            self.rest, self.next_rest = self.next_rest, min(2 * self.next_rest, _MOST_REST)
            self.gained = self.paid = 0.0
        else:
            self.next_rest = _FIRST_REST
        self.length = 2 * num_drafted + 1 if num_accepted == num_drafted else max(num_accepted, _FIRST_LENGTH)


class Speculation:
    """Decides how many tokens to guess for whom, by what the guesses cost and brought so far."""

    def __init__(self, max_draft: int) -> None:
        """`max_draft` is the most tokens that are guessed in a step, for all sequences together."""
        self._max_draft = max_draft
        # Mean duration of a step without guesses, by the number of its sequences.
        self._step_seconds: dict[int, float] = {}
        self._records: dict[Sequence, _Record] = {}

    def draft(self, sequences: Many[Sequence], room: int) -> list[list[int]]:
        """Guesses for sequences that have one token each to compute: at most `room` in all, and often none."""
        if len(sequences) > _MOST_SEQUENCES or len(sequences) not in self._step_seconds:
            return [[] for _ in sequences]
        self._records = {
            sequence: self._records.get(sequence) or _Record(PromptLookup(sequence.tokens)) for sequence in sequences
        }
        most = [one.num_left - 1 if one.may_draft else 0 for one in sequences]
        wishes = [record.wish() if limit > 0 else 0 for record, limit in zip(self._records.values(), most, strict=True)]
        counts = _fit(wishes, most, min(room, self._max_draft))
        return [record.lookup.guess(count) for record, count in zip(self._records.values(), counts, strict=True)]

    def observe(self, outcomes: Many[Outcome], seconds: float) -> None:
        """Learn from a step of one token of each sequence, and of their guesses, if they had any."""
        mean = self._step_seconds.get(len(outcomes))
        num_drafted = sum(outcome.num_drafted for outcome in outcomes)
        if num_drafted == 0 or mean is None:
            newest = 1.0 if mean is None else _NEWEST
            self._step_seconds[len(outcomes)] = (mean or 0.0) + (seconds - (mean or 0.0)) * newest
            return
        # Every sequence gets one token in the time of a step without guesses; what is on top of it, the guesses took.
        paid_per_guess = (seconds - mean) / (mean / len(outcomes)) / num_drafted
        for outcome in outcomes:
            record = self._records.get(outcome.sequence)
            if outcome.num_drafted and record is not None:
                record.learn(outcome.num_drafted, outcome.num_accepted, paid_per_guess * outcome.num_drafted)


def _fit(wishes: Many[int], most: Many[int], room: int) -> list[int]:
    """Guesses for each sequence: what it wishes, or a fair share of `room`, and more where that fills a tile."""
    num_sequences = len(wishes)
    room -= (num_sequences + room) % _TILE
    counts = [0] * num_sequences
    modest_first = sorted(range(num_sequences), key=lambda index: wishes[index])
    for num_before, index in enumerate(modest_first):
        counts[index] = max(0, min(wishes[index], most[index], room // (num_sequences - num_before)))
        room -= counts[index]
    short = -(num_sequences + sum(counts)) % _TILE
    for index in reversed(modest_first):
        if counts[index]:
            more = min(short, most[index] - counts[index])
            counts[index] += more
            short -= more
    return counts
