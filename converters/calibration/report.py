"""What a mix of languages does to each of them: which tensors it starves, and how languages disagree.

All measures are of shares: a column's sum of squares by that of all columns of its tensor, so that neither the amount
of text nor the size of activations counts, only where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.calibration.importance import Importances, Sums

# A column is starved of a language whose share in it is more than so many times the mix's.
STARVED_RATIO = 2.0
# A tensor is starved of a language that has at least this share of all that matters to it in starved columns.
STARVED_SHARE = 0.1


@dataclass(frozen=True)
class Starved:
    """A tensor that a language starves in, and the share of what matters to it that is in starved columns."""

    tensor: str
    share: float


@dataclass(frozen=True)
class LanguageShare:
    """One language in the mix.

    weight: of each token. share: of all tokens, counted by their weights. duplicates: texts left out.
    starved: tensors, the worst first.
    disagreement: with the mix, mean over all tensors of 1 less the cosine of shares; worst_tensor where it is largest.
    """

    language: str
    num_tokens: int
    num_chunks: int
    num_duplicates: int
    weight: float
    share: float
    starved: tuple[Starved, ...]
    disagreement: float
    worst_tensor: str


@dataclass(frozen=True)
class Pair:
    """Two languages: 1 less the cosine of their shares, mean over all tensors, and the tensor where it is largest."""

    languages: tuple[str, str]
    disagreement: float
    worst_tensor: str
    worst: float


@dataclass(frozen=True)
class Report:
    """All languages, and all pairs of them, those that disagree most first."""

    num_tensors: int
    languages: tuple[LanguageShare, ...]
    pairs: tuple[Pair, ...]

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Part:
    """What was collected of one language."""

    importances: Importances
    num_tokens: int
    num_chunks: int
    num_duplicates: int
    weight: float


def report_on(parts: Mapping[str, Part], mix: Importances) -> Report:
    """Hold each language against the mix, and against each other."""
    names = list(mix)
    shares = {language: [part.importances[name].shares() for name in names] for language, part in parts.items()}
    of_mix = [mix[name].shares() for name in names]
    counted = {language: part.weight * _num_counted(part) for language, part in parts.items()}
    total = sum(counted.values())
    languages = []
    for language, part in parts.items():
        differences = _disagreements(shares[language], of_mix)
        languages.append(
            LanguageShare(
                language=language,
                num_tokens=part.num_tokens,
                num_chunks=part.num_chunks,
                num_duplicates=part.num_duplicates,
                weight=part.weight,
                share=counted[language] / total,
                starved=_starved(names, shares[language], of_mix),
                disagreement=float(differences.mean()),
                worst_tensor=names[int(differences.argmax())],
            )
        )
    pairs = [_pair(one, other, names, shares) for one, other in combinations(parts, 2)]
    pairs.sort(key=lambda pair: -pair.disagreement)
    return Report(len(names), tuple(languages), tuple(pairs))


def starved_share(of_language: Sums, of_mix: Sums) -> float:
    """The share of what matters to a language that is in columns to which the mix gives less than half of its share."""
    return float(of_language[of_language > STARVED_RATIO * of_mix].sum())


def disagreement(one: Sums, other: Sums) -> float:
    """1 less the cosine of two vectors of shares: 0 where they are alike, 1 where they have no column in common."""
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return max(0.0, float(1 - cosine))  # rounding may go below


def _num_counted(part: Part) -> float:
    """Tokens of a language, with duplicates counted by their weights; an expert sees but some of them."""
    return max((float(each.counts.max()) for each in part.importances.values()), default=0.0)


def _starved(names: Sequence[str], of_language: Sequence[Sums], of_mix: Sequence[Sums]) -> tuple[Starved, ...]:
    found = [Starved(*each) for each in zip(names, map(starved_share, of_language, of_mix), strict=True)]
    found = [each for each in found if each.share >= STARVED_SHARE]
    return tuple(sorted(found, key=lambda each: -each.share))


def _disagreements(one: Sequence[Sums], other: Sequence[Sums]) -> npt.NDArray[np.float64]:
    return np.array([disagreement(*each) for each in zip(one, other, strict=True)])


def _pair(one: str, other: str, names: Sequence[str], shares: Mapping[str, Sequence[Sums]]) -> Pair:
    differences = _disagreements(shares[one], shares[other])
    worst = int(differences.argmax())
    return Pair((one, other), float(differences.mean()), names[worst], float(differences[worst]))
