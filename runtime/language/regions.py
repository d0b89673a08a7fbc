"""Where an answer is not prose: code fences, and what stands between two marks, such as reasoning and calls of tools.

A pure state machine over text, one character after the other, so that the tokens' borders make no difference. Fences
are CommonMark's (section 4.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

_LEAST_FENCE = 3
_MOST_INDENT = 3


class Span(msgspec.Struct, frozen=True):
    """What stands between two marks, which are part of it; without an `end` it goes to the end of the answer.

    `is_first`: it can only be at the beginning of the answer. `is_open`: the prompt ends within it, and the first mark
    does not come.
    """

    start: str
    end: str
    is_first: bool = False
    is_open: bool = False


class Mark(NamedTuple):
    """A mark that may come next: what is written of it already, and what is left of it."""

    written: str
    left: str


class Regions:
    """Text in; tells whether what comes next is prose."""

    def __init__(self, spans: Sequence[Span] = ()) -> None:
        self._spans = tuple(span for span in spans if span.start)
        self._open = next((span for span in self._spans if span.is_open), None)
        # The end of the text, as far as a mark can reach back, and whether all of the text is in it.
        self._tail = ""
        self._reach = max((max(len(span.start), len(span.end)) for span in self._spans), default=0)
        self._has_begun = False
        self._fence = ""
        self._line = _Line()

    @property
    def is_prose(self) -> bool:
        """Whether the next character is neither in a fence nor between marks."""
        if self._open is not None:
            return False
        if self._fence:
            return self._line.closes(self._fence)
        return not self._line.is_fence

    def marks(self) -> list[Mark]:
        """The marks that may come next, or go on; only in prose."""
        found = []
        for span in self._spans:
            if not _is_first(span):
                written = _overlap(self._tail, span.start)
            elif not self._has_begun and span.start.startswith(begun := self._tail.lstrip()):
                written = begun
            else:
                continue
            found.append(Mark(written, span.start[len(written) :]))
        return found

    def push(self, text: str) -> None:
        """Go on by `text`."""
        for char in text:
            self._step(char)

    def _step(self, char: str) -> None:
        if self._reach:
            was_open = self._open
            self._step_marks(char)
            if was_open is not None or self._open is not None:
                self._line = _Line()
                return
        if char == "\n":
            if self._fence:
                self._fence = "" if self._line.closes(self._fence) else self._fence
            elif self._line.is_fence:
                self._fence = self._line.fence
            self._line = _Line()
        else:
            self._line.push(char)

    def _step_marks(self, char: str) -> None:
        self._tail = (self._tail + char)[-self._reach :]
        if self._open is not None:
            if self._open.end and self._tail.endswith(self._open.end):
                self._open, self._tail, self._has_begun = None, "", True
            return
        if self._fence:
            return
        begun = self._tail.lstrip()
        for span in self._spans:
            if (not self._has_begun and begun == span.start) if span.is_first else self._tail.endswith(span.start):
                self._open, self._tail = span, ""
                return
        firsts = [span for span in self._spans if _is_first(span)]
        self._has_begun = self._has_begun or not any(span.start.startswith(begun) for span in firsts)


class _Line:
    """The line that is being written, as far as fences go."""

    def __init__(self) -> None:
        self.fence = ""
        self._indent = 0
        self._state: Literal["indent", "fence", "info", "text"] = "indent"
        self._has_info = False

    @property
    def is_fence(self) -> bool:
        """Whether it opens a fence where none is open."""
        return self._state in {"fence", "info"} and len(self.fence) >= _LEAST_FENCE

    def closes(self, fence: str) -> bool:
        """Whether it closes the fence that `fence` opened, if it ends here."""
        return self.is_fence and self.fence.startswith(fence) and not self._has_info

    def push(self, char: str) -> None:
        """Go on by `char`, which ends no line."""
        if self._state == "indent":
            if char == " " and self._indent < _MOST_INDENT:
                self._indent += 1
                return
            self._state = "fence" if char in "`~" else "text"
        if self._state == "fence":
            if not self.fence or char == self.fence[0]:
                self.fence += char
                return
            self._state = "info" if len(self.fence) >= _LEAST_FENCE else "text"
        if self._state == "info":
            self._has_info = self._has_info or not char.isspace()
            # Backticks after backticks are code within a line.
            if char == self.fence[0] == "`":
                self._state = "text"


def _is_first(span: Span) -> bool:
    """Whether its first mark is looked for only at the beginning: one that begins like a word could be anywhere."""
    return span.is_first or span.start[0].isalpha()


def _overlap(text: str, mark: str) -> str:
    """The longest end of `text` that `mark` begins with, and is longer than."""
    size = next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:size])), 0)
    return mark[:size]
