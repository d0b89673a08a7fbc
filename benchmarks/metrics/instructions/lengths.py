"""How long an answer must be: in words, sentences and paragraphs."""

from __future__ import annotations

import re

from benchmarks.metrics.instructions import counting
from benchmarks.metrics.instructions.counting import holds

_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_WORD_ENDS = re.compile(r"[.,?!'\"]")


def has_words(answer: str, *, num_words: int, relation: str = "at least") -> bool:
    """So many words."""
    return holds(counting.num_words(answer), relation, num_words)


def has_sentences(answer: str, *, num_sentences: int, relation: str = "at least") -> bool:
    """So many sentences."""
    return holds(counting.num_sentences(answer), relation, num_sentences)


def has_paragraphs(answer: str, *, num_paragraphs: int) -> bool:
    """So many paragraphs with `***` between them; none is empty, but for one before the first or after the last."""
    paragraphs = [part.strip() for part in _DIVIDER.split(answer)]
    return all(paragraphs[1:-1]) and sum(map(bool, paragraphs)) == num_paragraphs


def begins_paragraph(answer: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """So many paragraphs with an empty line between them, and the one that is counted from 1 begins with a word."""
    paragraphs = [part.strip() for part in answer.split("\n\n")]
    count = sum(map(bool, paragraphs))
    if count != num_paragraphs or not 1 <= nth_paragraph <= count or not paragraphs[nth_paragraph - 1]:
        return False
    begins = paragraphs[nth_paragraph - 1].split()[0].lstrip("'\"")
    return _WORD_ENDS.split(begins)[0].lower() == first_word.lower()
