"""Where each row of the new vocabulary comes from: from which old rows, with which weights, or from chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
Weights: TypeAlias = npt.NDArray[np.float64]


class Kind(StrEnum):
    """How a row is made. All but the last two are copies or sums of old rows that the method found."""

    SPECIAL = "special"  # of the token with the same role
    EXACT = "exact"  # of the token with the same text
    CASE = "case"  # of one that differs in upper and lower case
    SINGLE = "single"  # of the only one that the mapping names
    MIXED = "mixed"  # a sum of several, by their weights
    UNKNOWN = "unknown"  # of the old unknown token, for want of any other
    DRAWN = "drawn"  # of each column's normal distribution


COPIED = (Kind.SPECIAL, Kind.EXACT, Kind.CASE, Kind.SINGLE)


@dataclass(frozen=True)
class Row:
    """One new row: the sum of the old rows `old`, each by its weight, the smallest first; of none where it is drawn."""

    kind: Kind
    old: IntArray
    weights: Weights


@dataclass(frozen=True)
class Plan:
    """All of the new rows, in order."""

    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def drawn(self) -> list[int]:
        """The rows that come from chance."""
        return [at for at, row in enumerate(self.rows) if row.kind is Kind.DRAWN]

    def counts(self) -> dict[str, int]:
        """How many rows there are of each kind, those of which there are none left out."""
        found = Counter(row.kind for row in self.rows)
        return {str(kind): found[kind] for kind in Kind if found[kind]}


class Draft:
    """A plan in the making: what is said first of a row holds."""

    def __init__(self, num_rows: int) -> None:
        self._rows: list[Row | None] = [None] * num_rows

    def is_open(self, row: int) -> bool:
        """Whether nothing has been said of it yet."""
        return self._rows[row] is None

    def copy(self, row: int, old: int, kind: Kind) -> None:
        """The row is that of the old token."""
        self._put(row, kind, [old], [1.0])

    def mix(self, row: int, old: Sequence[int], weights: Sequence[float]) -> None:
        """The row is the sum of these; of one of weight 1 a copy."""
        order = np.argsort(weights, kind="stable")
        sorted_old = [int(old[at]) for at in order]
        kind = Kind.SINGLE if len(old) == 1 and weights[0] == 1 else Kind.MIXED
        self._put(row, kind, sorted_old, [float(weights[at]) for at in order])

    def finished(self, unknown: int | None = None) -> Plan:
        """The plan: rows that nothing was said of are that of the old token `unknown`, or drawn where it is None."""
        for row in range(len(self._rows)):
            if unknown is not None:
                self.copy(row, unknown, Kind.UNKNOWN)
            else:
                self._put(row, Kind.DRAWN, [], [])
        return Plan(tuple(row for row in self._rows if row is not None))

    def _put(self, row: int, kind: Kind, old: Iterable[int], weights: Iterable[float]) -> None:
        if self._rows[row] is None:
            self._rows[row] = Row(kind, np.array(list(old), np.int64), np.array(list(weights), np.float64))
