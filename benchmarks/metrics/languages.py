"""From figures of languages to figures over languages; no language counts more for having more rows."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AcrossLanguages:
    """The average of the languages, the least and the most with the language that has it, and their distance.

    The gap, most less least, is how far a model is from serving all languages alike (MultiLoKo, arXiv 2504.10356).
    """

    average: float
    min: float
    min_language: str
    max: float
    max_language: str
    gap: float


def across(by_language: Mapping[str, float | None]) -> AcrossLanguages | None:
    """The figures over those languages that have one; None where none has."""
    known = {language: value for language, value in by_language.items() if value is not None}
    if not known:
        return None
    lowest, highest = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    return AcrossLanguages(
        average=statistics.fmean(known.values()),
        min=known[lowest],
        min_language=lowest,
        max=known[highest],
        max_language=highest,
        gap=known[highest] - known[lowest],
    )


def differences(ours: Mapping[str, float | None], others: Mapping[str, float | None]) -> dict[str, float]:
    """Ours less the others', in the languages that both have.

    MultiLoKo's mother tongue effect (MTE) is this of exact match on a language's own questions, asked in it and asked
    in English; its locality effect (LE) is this of the language's own questions and English ones translated into it.
    """
    return {
        language: value - other
        for language, value in ours.items()
        if value is not None and (other := others.get(language)) is not None
    }
