"""From a model's bytes to text that can be shown: whole characters only, stop strings never leaked.

A token is a run of bytes, not of characters: one token may end inside a UTF-8 sequence, and one visible character
(a grapheme cluster, UAX #29) may span several tokens. `TextStream` holds back what is not complete yet, so that no
piece it gives out ever splits a UTF-8 sequence or a grapheme cluster, and the pieces concatenate to the exact text.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import regex

_GRAPHEMES = regex.compile(r"\X")


class TextStream:
    """Bytes in, whole grapheme clusters out, until a stop string is met or the text has `max_characters` code points.

    What would make it longer is left out together with the rest of its cluster, and then the text `is_cut`.
    Bytes that are not UTF-8 become U+FFFD, as `bytes.decode(errors="replace")` makes them.
    """

    def __init__(self, stop: Sequence[str] = (), *, max_characters: int | None = None) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped_by: str | None = None
        self.is_cut = False
        self._left = max_characters

    @property
    def is_full(self) -> bool:
        """Whether the text has as many characters as it may: none come any more."""
        return self._left == 0

    def push(self, data: bytes) -> str:
        """Take the next token's bytes; return the text that is now certain (it may be empty)."""
        return self._advance(data, is_final=False)

    def finish(self) -> str:
        """Return what was held back. No more bytes come after this."""
        return self._advance(b"", is_final=True)

    def _advance(self, data: bytes, *, is_final: bool) -> str:
        if self.stopped_by is not None or self.is_full:
            return ""
        self._held += self._decoder.decode(data, is_final)
        end = self._find_stop()
        if end is not None or is_final:
            end = len(self._held) if end is None else end
            out, self._held = self._held[:end], ""
            return self._within_limit(out)
        certain = _whole_graphemes(self._held, len(self._held) - self._stop_overlap())
        out, self._held = self._held[:certain], self._held[certain:]
        return self._within_limit(out)

    def _within_limit(self, text: str) -> str:
        """As many whole clusters of `text` as there is room for."""
        if self._left is None:
            return text
        if len(text) > self._left:
            text = text[: _whole_graphemes(text, self._left)]
            # Nor may a shorter cluster come after the one that did not fit, nor was the stop string reached.
            self._left, self.is_cut, self.stopped_by = 0, True, None
        else:
            self._left -= len(text)
        return text

    def _find_stop(self) -> int | None:
        """Index of the stop string that is complete first, so that the cut does not depend on the tokens' borders."""
        found = [(at + len(stop), at, stop) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if not found:
            return None
        _, at, self.stopped_by = min(found)
        return at

    def _stop_overlap(self) -> int:
        """Length of the longest end of the held text that could be the beginning of a stop string."""
        for size in range(min(len(self._held), max(map(len, self._stop), default=0)), 0, -1):
            tail = self._held[-size:]
            if any(stop.startswith(tail) for stop in self._stop):
                return size
        return 0


def _whole_graphemes(text: str, limit: int) -> int:
    """Largest grapheme boundary of `text` at or before `limit`, leaving out the last cluster, which may still grow."""
    boundary = 0
    for match in _GRAPHEMES.finditer(text):
        if match.end() > limit or match.end() == len(text):
            break
        boundary = match.end()
    return boundary


def shortened(text: str, max_chars: int) -> str:
    """A text of at most `max_chars` code points, cut at a grapheme's border with a mark that says how much is gone."""
    if len(text) <= max_chars:
        return text
    kept = text[: _whole_graphemes(text[: max_chars + 1], max_chars)]
    return f"{kept}\n[... {len(text) - len(kept):,} characters left out]"
