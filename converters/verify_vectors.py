"""Two artefacts that give vectors or scores held against each other, language by language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from converters.tensors import FloatArray
from runtime.errors import ConversionRefused


class Pooled(Protocol):
    """A model that makes one row of numbers of a text."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, with what belongs around it."""

    def row(self, tokens: Sequence[int]) -> FloatArray:
        """The vector, not normalised, or the scores: shape (width,)."""

    def close(self) -> None:
        """Give the memory back."""


@dataclass(frozen=True)
class VectorLine:
    """One language's line.

    max_difference: of the numbers in both rows, for the ids of the first.
    cosine: between both rows; 1 where they are the same.
    """

    language: str
    num_tokens: int
    has_same_ids: bool
    max_difference: float
    cosine: float


@dataclass(frozen=True)
class VectorReport:
    """All languages, and over all of them."""

    first: str
    second: str
    lines: tuple[VectorLine, ...]

    def summary(self) -> dict[str, Any]:
        """The worst figures over all languages."""
        return {
            "languages": len(self.lines),
            "tokens": sum(line.num_tokens for line in self.lines),
            "same_ids": sum(line.has_same_ids for line in self.lines),
            "max_difference": max(line.max_difference for line in self.lines),
            "min_cosine": min(line.cosine for line in self.lines),
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"first": self.first, "second": self.second, **self.summary(), "lines": [asdict(x) for x in self.lines]}


def compare(first: str, second: str, one: Pooled, other: Pooled, lines: Mapping[str, str]) -> VectorReport:
    """Compare two open models of these names on a line of text a language.

    Raises:
        ConversionRefused: their rows have different lengths.
    """
    return VectorReport(first, second, tuple(_line(language, text, one, other) for language, text in lines.items()))


def _line(language: str, text: str, one: Pooled, other: Pooled) -> VectorLine:
    tokens = one.encode(text)
    wanted, found = one.row(tokens).astype(np.float64), other.row(tokens).astype(np.float64)
    if wanted.shape != found.shape:
        raise ConversionRefused(
            f"The first gives {len(wanted)} numbers, the second {len(found)}: they are not the same model."
        )
    return VectorLine(
        language=language,
        num_tokens=len(tokens),
        has_same_ids=other.encode(text) == tokens,
        max_difference=float(np.abs(wanted - found).max()),
        cosine=float(wanted @ found / (np.linalg.norm(wanted) * np.linalg.norm(found))),
    )
