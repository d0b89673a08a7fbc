"""Reads an answer while its text streams: what the model thinks, what it says, and which tools it calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from runtime.chat.reasoning import Piece, ReasoningSplit
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.parser import CallParser
from runtime.engine.messages import Delta, Finished


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


async def read_answer(
    events: AsyncIterable[Delta | Finished], reader: AnswerReader
) -> AsyncGenerator[Piece | ToolCall | Finished]:
    """What the events of one request say, and last the `Finished`."""
    async for event in events:
        if isinstance(event, Delta):
            for found in reader.push(event.text):
                yield found
        else:
            for found in reader.finish():
                yield found
            yield event
