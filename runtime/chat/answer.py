"""Reads an answer while its text streams: what the model thinks, what it says, and which tools it calls."""

from __future__ import annotations

from runtime.chat.reasoning import Piece, ReasoningSplit
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.parser import CallParser


class AnswerReader:
    """Text in, pieces and calls out. Reasoning comes apart first: a call within it is none."""

    def __init__(self, split: ReasoningSplit | None = None, calls: CallParser | None = None) -> None:
        """`split` is None where the model does not reason, `calls` where it may call nothing."""
        self._split = split
        self._calls = calls

    def push(self, text: str) -> list[Piece | ToolCall]:
        """Take the next text; return what is certain now (it may be nothing)."""
        pieces = [Piece("content", text)] if self._split is None else self._split.push(text)
        return [found for piece in pieces for found in self._read(piece)]

    def finish(self) -> list[Piece | ToolCall]:
        """Return what was held back. No more text comes after this."""
        pieces = [] if self._split is None else self._split.finish()
        found = [found for piece in pieces for found in self._read(piece)]
        return found if self._calls is None else found + self._calls.finish()

    def _read(self, piece: Piece) -> list[Piece | ToolCall]:
        if self._calls is None or piece.kind == "reasoning":
            return [piece]
        return self._calls.push(piece.text)
