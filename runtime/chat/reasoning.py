"""Splits an answer into what a model thinks to itself and what it says, while the text streams.

A pure state machine over text. Models that reason write it between two marks at the beginning of the answer; some
templates write the first mark into the prompt already. What does not fit stays part of the answer.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from runtime.language.regions import Span

# The pairs that chat templates of published models use.
MARKS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<reasoning>", "</reasoning>"))


class Piece(NamedTuple):
    """Some text, and which part it belongs to."""

    kind: Literal["reasoning", "content"]
    text: str


class ReasoningSplit:
    """Text in, pieces out. Both marks, and white space next to them, belong to neither part."""

    def __init__(self, start: str, end: str, *, is_begun: bool) -> None:
        """`is_begun`: the prompt ends within the reasoning, so the first mark will not come."""
        self._start = start
        self._end = end
        self._state: Literal["before", "opened", "reasoning", "closed", "content"] = "opened" if is_begun else "before"
        self._held = ""

    def push(self, text: str) -> list[Piece]:
        """Take the next text; return what is certain now (it may be nothing)."""
        self._held += text
        pieces: list[Piece] = []
        while (piece := self._advance()) is not None:
            pieces.append(piece)
        return [piece for piece in pieces if piece.text]

    def finish(self) -> list[Piece]:
        """Return what was held back. No more text comes after this."""
        held, self._held = self._held, ""
        if self._state in {"opened", "closed"}:
            held = held.lstrip()
        kind: Literal["reasoning", "content"] = "reasoning" if self._state in {"opened", "reasoning"} else "content"
        return [Piece(kind, held)] if held else []

    def _advance(self) -> Piece | None:
        """One move of the machine: a piece, which may be empty; None when it needs more text."""
        match self._state:
            case "before":
                begun = self._held.lstrip()
                if begun.startswith(self._start):
                    self._held, self._state = begun.removeprefix(self._start), "opened"
                    return Piece("reasoning", "")
                if self._start.startswith(begun):
                    return None
                self._state = "content"
                return Piece("content", "")
            case "reasoning":
                return self._advance_reasoning()
            case "opened" | "closed":
                self._held = self._held.lstrip()
                if not self._held:
                    return None
                self._state = "reasoning" if self._state == "opened" else "content"
                return Piece("content", "")
            case "content":
                if not self._held:
                    return None
                text, self._held = self._held, ""
                return Piece("content", text)

    def _advance_reasoning(self) -> Piece | None:
        text, mark, rest = self._held.partition(self._end)
        if mark:
            self._held, self._state = rest, "closed"
            return Piece("reasoning", text.rstrip())
        # White space and the beginning of the mark wait for what follows.
        certain = self._held[: len(self._held) - _overlap(self._held, self._end)].rstrip()
        if not certain:
            return None
        self._held = self._held[len(certain) :]
        return Piece("reasoning", certain)


def marks_of(template: str | None) -> tuple[str, str] | None:
    """The marks that a chat template knows of; None where it knows of none."""
    return next((marks for marks in MARKS if template is not None and marks[1] in template), None)


def span_of(marks: tuple[str, str], prompt: str) -> Span:
    """Where the answer to `prompt` has its reasoning."""
    return Span(*marks, is_first=True, is_open=prompt.rstrip().endswith(marks[0]))


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that `mark` begins with."""
    return next((size for size in range(min(len(text), len(mark)), 0, -1) if mark.startswith(text[-size:])), 0)
