"""A title of what was said first: its first words, or as much of them as there is room for."""

from __future__ import annotations

import regex

_GRAPHEMES = regex.compile(r"\X")
# What is not seen, and what a terminal obeys or turns around; the joiners stay, which letters need.
_UNSEEN = regex.compile(r"[\p{Cc}\p{Cf}\p{Cs}\p{Cn}--[\u200C\u200D]]", regex.V1)
# A word may be left out for a cut between words, but not half of the title: some scripts have no blanks.
_LEAST_SHARE = 0.5


def title_of(text: str, max_graphemes: int) -> str:
    """The beginning of `text` in one line, cut between words where there are any, and never within a character."""
    line = " ".join(_UNSEEN.sub("", regex.sub(r"\s", " ", text)).split())
    clusters = _GRAPHEMES.findall(line)
    if len(clusters) <= max_graphemes:
        return line
    kept = "".join(clusters[: max_graphemes - 1])
    if not clusters[max_graphemes - 1].isspace():
        words = kept.rpartition(" ")[0]
        if len(words) >= len(kept) * _LEAST_SHARE:
            kept = words
    return f"{kept.rstrip()}…"
