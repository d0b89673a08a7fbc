"""Words, letters and commas that an answer must have, or must not."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.instructions.counting import holds, occurrences


def has_keywords(answer: str, *, keywords: Sequence[str]) -> bool:
    """All keywords, also within words."""
    return all(occurrences(word, answer, is_whole=False) for word in keywords)


def has_keyword_often(answer: str, *, keyword: str, frequency: int, relation: str = "at least") -> bool:
    """A keyword so often, also within words."""
    return holds(occurrences(keyword, answer, is_whole=False), relation, frequency)


def avoids(answer: str, *, forbidden_words: Sequence[str]) -> bool:
    """None of the forbidden words."""
    return not any(occurrences(word, answer, is_whole=True) for word in forbidden_words)


def has_letter_often(answer: str, *, letter: str, let_frequency: int, let_relation: str = "at least") -> bool:
    """A letter so often, in either case."""
    return holds(answer.lower().count(letter.strip().lower()), let_relation, let_frequency)


def has_no_comma(answer: str) -> bool:
    """No comma; those of other scripts are allowed."""
    return "," not in answer
