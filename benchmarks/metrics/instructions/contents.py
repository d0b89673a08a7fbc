"""What an answer must say: placeholders, postscripts, given words, two answers at once."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"\[.*?\]")
_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_POSTSCRIPTS = {"p.p.s": r"p\.\s?p\.\s?s", "p.s.": r"p\.\s?s\."}


def has_placeholders(answer: str, *, num_placeholders: int) -> bool:
    """At least so many placeholders, such as [address]."""
    return len(_PLACEHOLDER.findall(answer)) >= num_placeholders


def has_postscript(answer: str, *, postscript_marker: str) -> bool:
    """A postscript with this mark; P.S. and P.P.S may have spaces in them."""
    mark = postscript_marker.strip().lower()
    return re.search(_POSTSCRIPTS.get(mark, re.escape(mark)), answer.lower()) is not None


def is_an_option(answer: str) -> bool:
    """One of the three answers that are allowed: yes, no and maybe."""
    return any(option in answer for option in _OPTIONS)


def is_two_answers(answer: str) -> bool:
    """Two different answers with six asterisks between them."""
    parts = [part.strip() for part in answer.split("******")]
    said = [part for part in parts if part]
    return all(parts[1:-1]) and len(said) == 2 and said[0] != said[1]


def repeats(answer: str, *, prompt_to_repeat: str) -> bool:
    """The request word for word, before anything else."""
    return answer.strip().lower().startswith(prompt_to_repeat.strip().lower())


def ends_with(answer: str, *, end_phrase: str) -> bool:
    """A phrase at the end; only quotation marks may follow it."""
    return answer.strip().strip('"').lower().endswith(end_phrase.strip().lower())
