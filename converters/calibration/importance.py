"""How much each column of each matrix matters: sums of squared activations, added up and weighted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Sums: TypeAlias = npt.NDArray[np.float64]


@dataclass
class Importance:
    """Of one matrix, or of the experts' matrices in one tensor.

    squares: sums of the squares of what each column is multiplied by, shape (matrices, columns).
    counts: over how many tokens, shape (matrices).
    """

    squares: Sums
    counts: Sums

    def means(self) -> Sums:
        """Mean squares: shape (matrices, columns). 1 for an expert that no token came to, as llama.cpp has it."""
        counts = self.counts[:, None]
        return np.where(counts > 0, self.squares / np.where(counts > 0, counts, 1), 1.0)

    def shares(self) -> Sums:
        """Each column's share of all that matters in the tensor: shape (matrices * columns), the sum is 1."""
        total = self.squares.sum()
        return (self.squares / total if total > 0 else np.full_like(self.squares, 1 / self.squares.size)).ravel()


Importances: TypeAlias = dict[str, Importance]
"""By the tensor's name."""


def mixed(parts: Iterable[tuple[Mapping[str, Importance], float]]) -> Importances:
    """The sum of several, each token of a part counted as often as the part's weight says."""
    total: Importances = {}
    for part, weight in parts:
        for name, each in part.items():
            if name not in total:
                total[name] = Importance(np.zeros_like(each.squares), np.zeros_like(each.counts))
            total[name].squares += weight * each.squares
            total[name].counts += weight * each.counts
    return total
