"""What a transplant came to: where rows are from, how many tokens texts take, and what new tokens are like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.adapt.transplant.plan import COPIED, Kind, Plan
from converters.adapt.transplant.vocabulary import Vocabulary
from converters.fertility import Fertility, measure
from converters.probes import DECLARATION
from converters.tensors import Tensor

# How many tokens are shown with their neighbours, and how many of these.
_SHOWN, _NEAREST = 5, 3
_MIN_LETTERS = 3


@dataclass(frozen=True)
class Likeness:
    """A new token's text, how its row was made, and the old tokens whose rows have the largest cosines with it."""

    token: str
    kind: str
    near: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Reading:
    """What the same text in one language takes with a tokenizer; `unknown` are tokens that stand for what it lacks."""

    fertility: Fertility
    unknown: int


def change(pair: tuple[Reading, Reading]) -> float:
    """The number of tokens after by that before."""
    return pair[1].fertility.tokens / max(1, pair[0].fertility.tokens)


@dataclass(frozen=True)
class Report:
    """All of it; pairs are before and after.

    parameters: of all tensors with a row for each token, and of the factor that these are multiplied by.
    counts: rows by kind. rank, kept: of an embedding of two factors, and what share of it the factors have.
    readings: by language.
    """

    method: str
    tokenizer: str
    tokens: tuple[int, int]
    parameters: tuple[int, int]
    counts: Mapping[str, int]
    rank: int | None
    kept: float | None
    readings: Mapping[str, tuple[Reading, Reading]]
    likenesses: tuple[Likeness, ...]

    @property
    def num_copied(self) -> int:
        """Rows that are those of one old token."""
        return sum(self.counts.get(kind, 0) for kind in COPIED)

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "method": self.method,
            "tokenizer": self.tokenizer,
            "tokens": list(self.tokens),
            "parameters_of_the_vocabulary": list(self.parameters),
            "rows": dict(self.counts),
            "rows_copied": self.num_copied,
            "rank": self.rank,
            "share_kept_by_factors": self.kept,
            "fertility": {
                language: {
                    "tokens": [reading.fertility.tokens for reading in pair],
                    "fertility": [reading.fertility.value for reading in pair],
                    "unknown": [reading.unknown for reading in pair],
                }
                for language, pair in self.readings.items()
            },
            "neighbours": [
                {"token": each.token, "kind": each.kind, "near": [list(pair) for pair in each.near]}
                for each in self.likenesses
            ],
        }


def readings_of(old: Vocabulary, new: Vocabulary) -> dict[str, tuple[Reading, Reading]]:
    """The same text in each language read by both, those with the largest gain first."""
    before, after = (measure(side.encode) for side in (old, new))
    found = {
        name: (Reading(before[name], _unknown(old, name)), Reading(after[name], _unknown(new, name))) for name in before
    }
    return dict(sorted(found.items(), key=lambda item: change(item[1])))


def _unknown(side: Vocabulary, language: str) -> int:
    return side.encode(DECLARATION[language]).count(-1 if side.unknown is None else side.unknown)


def likenesses(
    plan: Plan, old: Vocabulary, new: Vocabulary, old_rows: Tensor, new_rows: Tensor
) -> tuple[Likeness, ...]:
    """Some new tokens with their nearest old ones: of those that were mixed, else of those that were copied."""
    tokens = _samples(plan, new)
    if not tokens:
        return ()
    wanted = np.concatenate([new_rows.read(token, token + 1) for token in tokens])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True) + 1e-12
    pieces = []
    for start, stop in old_rows.spans():
        rows = old_rows.read(start, stop)
        pieces.append(wanted @ (rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)).T)
    cosines = np.concatenate(pieces, axis=1)[:, : len(old)]
    found = []
    for token, row in zip(tokens, cosines, strict=True):
        best = np.argsort(-row, kind="stable")[:_NEAREST]
        near = tuple((old.shown(each), round(float(row[each]), 3)) for each in best)
        found.append(Likeness(new.shown(token), str(plan.rows[token].kind), near))
    return tuple(found)


def _samples(plan: Plan, new: Vocabulary) -> list[int]:
    """Tokens with some letters, spread over the vocabulary."""
    letters = [sum(map(str.isalpha, form or "")) if at not in new.added else 0 for at, form in enumerate(new.forms)]
    for kinds in ((Kind.MIXED,), COPIED):
        tokens = [at for at, row in enumerate(plan.rows) if row.kind in kinds and letters[at] >= _MIN_LETTERS]
        if tokens:
            return tokens[:: -(-len(tokens) // _SHOWN)]
    return []
