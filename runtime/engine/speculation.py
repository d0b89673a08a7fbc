"""Guessing several tokens ahead from what the text itself holds, for a sequence that runs alone.

A step computes the guesses together with the last token, and the sampler then chooses as it always does: a guess
counts only where it is what was chosen, so the answer is the one that single steps give. Answers that quote their
prompt (summaries, corrections, code) or repeat themselves gain; others lose the time of the wrong guesses. So the time
is measured, and guessing rests where it does not pay. Source: prompt lookup decoding, Saxena 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.engine.request import Sequence

# Tokens that must have stood together before for what followed them to be a guess.
_NUM_SAME = 3
_FIRST_LENGTH = 4
# Share of the account that is carried over from one guess to the next.
_MEMORY = 0.8
# Steps without guesses after they did not pay; doubled each time.
_FIRST_REST, _MOST_REST = 8, 256
# Weight of the newest step in the mean duration of a step without guesses.
_NEWEST = 0.1


class PromptLookup:
    """Guesses that a text goes on as it did when its last tokens stood there before."""

    def __init__(self, tokens: list[int]) -> None:
        """`tokens` is looked at anew with each guess: it is the list that grows."""
        self._tokens = tokens
        self._followers: dict[tuple[int, ...], int] = {}
        self._num_seen = _NUM_SAME

    def guess(self, count: int) -> list[int]:
        """The `count` next tokens; none where the last ones never stood there before."""
        tokens = self._tokens
        for at in range(self._num_seen, len(tokens)):
            self._followers[tuple(tokens[at - _NUM_SAME : at])] = at
        self._num_seen = max(self._num_seen, len(tokens))
        at = self._followers.get(tuple(tokens[-_NUM_SAME:]), len(tokens))
        period = len(tokens) - at
        return [tokens[at + ahead % period] for ahead in range(count)] if period else []


@dataclass
class _Record:
    """What guessing for one sequence has shown so far.

    `gained` tokens came of steps with guesses, which took as long as `paid` steps without. `rest` is the number of
    steps to go without guesses, `next_rest` how many it will be the next time.
    """

    sequence: Sequence
    lookup: PromptLookup
    length: int = _FIRST_LENGTH
    gained: float = 0.0
    paid: float = 0.0
    rest: int = 0
    next_rest: int = _FIRST_REST


class Speculation:
    """Decides how many tokens to guess, by what the guesses cost and brought so far."""

    def __init__(self, max_draft: int) -> None:
        self._max_draft = max_draft
        self._step_seconds = 0.0
        self._record: _Record | None = None

    def draft(self, sequence: Sequence, room: int) -> list[int]:
        """Guesses for a sequence that has one token to compute; at most `room`, and often none."""
        if not sequence.may_draft or not self._step_seconds:
            return []
        record = self._record
        if record is None or record.sequence is not sequence:
            record = self._record = _Record(sequence, PromptLookup(sequence.tokens))
        if record.rest > 0:
            record.rest -= 1
            return []
        return record.lookup.guess(max(0, min(record.length, self._max_draft, room)))

    def observe(self, num_drafted: int, num_accepted: int, seconds: float) -> None:
        """Learn from a step of one token of one sequence, and of its guesses, if it had any."""
        record = self._record
        if num_drafted == 0 or record is None:
            self._step_seconds += (seconds - self._step_seconds) * (_NEWEST if self._step_seconds else 1.0)
            return
        record.gained = _MEMORY * record.gained + 1 + num_accepted
        record.paid = _MEMORY * record.paid + seconds / self._step_seconds
        if record.gained < record.paid:
            record.rest, record.next_rest = record.next_rest, min(2 * record.next_rest, _MOST_REST)
            record.gained = record.paid = 0.0
        else:
            record.next_rest = _FIRST_REST
        record.length = 2 * num_drafted if num_accepted == num_drafted else num_accepted + 1
