"""The language and the letters of an answer."""

from __future__ import annotations

from benchmarks.metrics.instructions.counting import holds, words_of
from runtime.language.codes import parse
from runtime.language.detect import detect


def is_in_language(answer: str, *, language: str) -> bool:
    """In a language, in any of its scripts; an answer without letters is in all."""
    found = detect(answer).language
    return found is None or found.code == parse(language).code


def has_capital_words(answer: str, *, capital_frequency: int, capital_relation: str = "at least") -> bool:
    """So many words in capital letters."""
    return holds(sum(word.isupper() for word in words_of(answer)), capital_relation, capital_frequency)


def is_english_in_capitals(answer: str) -> bool:
    """English, all in capital letters."""
    return answer.isupper() and _is_english(answer)


def is_english_in_small_letters(answer: str) -> bool:
    """English, without a capital letter."""
    return answer.islower() and _is_english(answer)


def _is_english(answer: str) -> bool:
    # In capitals a text looks like none that the classifier has learned.
    return is_in_language(answer.lower(), language="eng")
