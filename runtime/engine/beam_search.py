"""Beam search for one request, in numpy: the same answers and scores as `generate` of transformers, row by row.

It differs in two ways that no answer shows. At first there is one row and not as many as there are beams, all alike.
And where a constraint leaves fewer continuations than beams, fewer rows go on; transformers fills up with copies that
have a score of -1e9.

Source: `_beam_search` in generation/utils.py of transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import msgspec
import numpy as np
import numpy.typing as npt

from runtime.backends.base import Ids, Logits
from runtime.engine.rules import Rules
from runtime.errors import InferenceFailed, InvalidRequest

EarlyStopping = bool | Literal["never"]
MAX_BEAMS = 64

# Sums of log probabilities below this are of what was forbidden.
_IMPOSSIBLE = -1e8
# Entries of a row whose largest one is looked at first.
_COLUMN = 64


class Beams(msgspec.Struct, frozen=True):
    """How an answer is searched for.

    num_beams: beginnings of answers that are followed side by side. num_answers: the best so many of the ends are
    given. length_penalty: scores are divided by the length to this power. early_stopping: True ends the search with as
    many ends as beams, False also where no better one is likely, "never" only where none can be.
    """

    num_beams: int
    num_answers: int = 1
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False

    def check(self) -> None:
        """Refuse what cannot be honoured.

        Raises:
            InvalidRequest: a value is out of its range.
        """
        if not 1 <= self.num_beams <= MAX_BEAMS:
            message = f"num_beams must be from 1 to {MAX_BEAMS}, not {self.num_beams}."
            raise InvalidRequest(message, param="num_beams")
        if not 1 <= self.num_answers <= self.num_beams:
            message = f"n must be from 1 to num_beams, which is {self.num_beams}, not {self.num_answers}."
            raise InvalidRequest(message, param="n")
        if not -10 <= self.length_penalty <= 10:
            message = f"length_penalty must be from -10 to 10, not {self.length_penalty}."
            raise InvalidRequest(message, param="length_penalty")


class BeamMatcher(Protocol):
    """Where one beam stands in what the answer may be."""

    def copy(self) -> Self:
        """Another one that stands where this one does."""

    def restrict(self, row: Logits) -> Ids | None:
        """See `runtime.engine.constraints.Matcher.restrict`."""

    def accept(self, token: int, *, may_foretell: bool = True) -> list[int]:
        """See `runtime.engine.constraints.Matcher.accept`."""


@dataclass(frozen=True)
class Found:
    """An end of the search: the tokens after the given ones, the end token among them, and the score."""

    tokens: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Limits:
    """What holds for all beams of a request.

    num_counted: given tokens that count for the length of an answer, such as a forced first one. max_tokens: how many
    an answer may have besides the given ones. penalty, bias: as in `SamplingParams`.
    """

    num_counted: int
    max_tokens: int
    ends: tuple[int, ...]
    rules: Rules
    penalty: float = 1.0
    bias: tuple[tuple[int, float], ...] = ()


class BeamSearch:
    """The beams of one request. `sequences` are those that run, one a row, the best first."""

    def __init__(self, beams: Beams, given: Sequence[int], limits: Limits, matcher: BeamMatcher | None = None) -> None:
        """Begin with one row, the `given` tokens, in which the constraint stands at `matcher`."""
        self._beams, self._limits = beams, limits
        self._num_given = len(given)
        self.sequences: list[list[int]] = [list(given)]
        self._scores = np.zeros(1, np.float32)
        self._matchers = [matcher]
        self._found: list[Found] = []
        self.is_done = False

    @property
    def num_rows(self) -> int:
        """Beams that run."""
        return len(self.sequences)

    @property
    def num_written(self) -> int:
        """Tokens that each running beam has besides the given ones."""
        return len(self.sequences[0]) - self._num_given

    @property
    def best(self) -> list[Found]:
        """The answers asked for, the best first; fewer where the constraint left fewer."""
        return self._found[: self._beams.num_answers]

    def advance(self, logprobs: Logits) -> Ids:
        """Go on by one token, from the log probabilities that follow each row: shape (num_rows, vocabulary).

        They are written over. Returns of each row that goes on which one it was before; none where the search is done.

        Raises:
            InferenceFailed: they are not numbers.
            InvalidRequest: nothing can follow that the request allows.
        """
        for index, row in enumerate(logprobs):
            self._restrict(index, row)
        logprobs += self._scores[:, None]
        ends, wanted = self._limits.ends, self._beams.num_beams
        flat = largest(logprobs, max(2, 1 + len(ends)) * wanted)
        scores = logprobs.reshape(-1)[flat]
        flat = flat[scores > _IMPOSSIBLE]
        if not len(flat):
            raise InvalidRequest("No token can follow that the request allows.")
        parents, tokens = np.divmod(flat, logprobs.shape[1])
        is_full = self.num_written + 1 >= self._limits.max_tokens
        is_end = np.isin(tokens, ends) | is_full
        self._collect(parents[:wanted][is_end[:wanted]], tokens, scores, is_end, wanted)
        running = np.flatnonzero(~is_end)[:wanted]
        parents, tokens = parents[running], tokens[running]
        self._scores = scores[running]
        self._follow(parents, tokens)
        self.is_done = not len(running) or self._is_settled()
        return parents if not self.is_done else np.empty(0, np.int64)

    def _restrict(self, index: int, row: Logits) -> None:
        tokens, limits = self.sequences[index], self._limits
        for token, bias in limits.bias:
            row[token] += bias
        if limits.penalty != 1:
            seen = np.unique(tokens)
            values = row[seen]
            row[seen] = np.where(values < 0, values * limits.penalty, values / limits.penalty)
        limits.rules.apply(row, tokens, self._num_given, limits.max_tokens - self.num_written, limits.ends)
        matcher = self._matchers[index]
        if matcher is not None and (allowed := matcher.restrict(row)) is not None:
            values = row[allowed]
            row[:] = -np.inf
            row[allowed] = values

    def _collect(self, parents: Ids, tokens: Ids, scores: Logits, is_end: npt.NDArray[np.bool_], wanted: int) -> None:
        """Take the ends among the best candidates to those found before, as far as they are among the best of all."""
        length = len(self.sequences[0]) + 1 - self._num_given + self._limits.num_counted
        for parent, at in zip(parents, np.flatnonzero(is_end[:wanted]), strict=True):
            answer = (*self.sequences[parent][self._num_given :], int(tokens[at]))
            self._found.append(Found(answer, float(scores[at] / np.float32(length**self._beams.length_penalty))))
        self._found = sorted(self._found, key=lambda found: -found.score)[:wanted]

    def _follow(self, parents: Ids, tokens: Ids) -> None:
        self.sequences = [[*self.sequences[parent], int(token)] for parent, token in zip(parents, tokens, strict=True)]
        matchers: list[BeamMatcher | None] = []
        for parent, token in zip(parents, tokens, strict=True):
            before = self._matchers[parent]
            matcher = None if before is None else before.copy()
            if matcher is not None:
                matcher.accept(int(token), may_foretell=False)
            matchers.append(matcher)
        self._matchers = matchers

    def _is_settled(self) -> bool:
        """Whether no running beam is expected to end better than those that were found."""
        beams = self._beams
        if len(self._found) < beams.num_beams:
            return False
        length = self.num_written + self._limits.num_counted
        if beams.early_stopping is True:
            return True
        if beams.early_stopping == "never" and beams.length_penalty > 0:
            length = self._limits.max_tokens + self._limits.num_counted
        best = self._scores[0] / np.float32(float(length) ** beams.length_penalty) if length else self._scores[0]
        return bool(best <= self._found[-1].score)


def to_logprobs(logits: Logits) -> Logits:
    """Logits of shape (rows, vocabulary) made log probabilities, in place.

    Raises:
        InferenceFailed: they are not numbers.
    """
    exponentials = np.empty(logits.shape[1], np.float32)
    for row in logits:
        # The largest of numbers of which one is none is none.
        if not np.isfinite(peak := row.max()):
            raise InferenceFailed("The model gave numbers that are not finite.")
        np.subtract(row, peak, out=row)
        np.subtract(row, np.log(np.exp(row, out=exponentials).sum()), out=row)
    return logits


def largest(values: Logits, count: int) -> Ids:
    """Indices of the `count` largest of `values`, shape (rows, width), in their flat order; the largest first.

    Each row is looked at in columns of 64 entries: the largest are in those columns whose own largest are.
    """
    num_rows, width = values.shape
    flat = values.reshape(-1)
    num_columns = width // _COLUMN
    if num_columns * num_rows <= count:
        candidates = np.arange(len(flat))
    else:
        whole = num_columns * _COLUMN
        peaks = values[:, :whole].reshape(num_rows, _COLUMN, num_columns).max(axis=1).reshape(-1)
        rows, columns = np.divmod(np.argpartition(peaks, -count)[-count:], num_columns)
        within = (rows * width + columns)[:, None] + num_columns * np.arange(_COLUMN)
        rest = width * np.arange(num_rows)[:, None] + np.arange(whole, width)
        candidates = np.concatenate([within.reshape(-1), rest.reshape(-1)])
    if len(candidates) > count:
        candidates = candidates[np.argpartition(flat[candidates], -count)[-count:]]
    candidates.sort()
    return candidates[np.argsort(-flat[candidates], kind="stable")]
