"""How an answer must look: in Markdown, JSON, sections or quotation marks."""

from __future__ import annotations

import json
import re

_STAR = re.compile(r"^\s*\*[^*].*$", re.MULTILINE)
_DASH = re.compile(r"^\s*-.*$", re.MULTILINE)
_HIGHLIGHT = re.compile(r"\*[^\n*]*\*")
_STRONG = re.compile(r"\*\*[^\n*]*\*\*")
_TITLE = re.compile(r"<<[^\n]+>>")
_FENCE = re.compile(r"\A```(?:json)?|```\Z", re.IGNORECASE)
_QUOTES = ('""', "“”", "「」")


def has_bullets(answer: str, *, num_bullets: int) -> bool:
    """Exactly so many points of lists, with a star or a dash."""
    return len(_STAR.findall(answer)) + len(_DASH.findall(answer)) == num_bullets


def has_highlights(answer: str, *, num_highlights: int) -> bool:
    """At least so many parts between asterisks, single or double."""
    found = [*_HIGHLIGHT.findall(answer), *_STRONG.findall(answer)]
    return sum(bool(part.strip("*").strip()) for part in found) >= num_highlights


def has_sections(answer: str, *, section_spliter: str, num_sections: int) -> bool:
    """At least so many sections, each begun by a word and a number, such as "Section 1"."""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", answer)) >= num_sections


def is_json(answer: str) -> bool:
    """Nothing but JSON, which may stand in a block of code."""
    try:
        json.loads(_FENCE.sub("", answer.strip()).strip())
    except ValueError:
        return False
    return True


def has_title(answer: str) -> bool:
    """A title, such as <<poem of joy>>."""
    return any(title.strip("<>").strip() for title in _TITLE.findall(answer))


def is_quoted(answer: str) -> bool:
    """All of it in double quotation marks, of English, Chinese or Japanese."""
    text = answer.strip()
    return len(text) > 1 and text[0] + text[-1] in _QUOTES
