"""An answer as a row of parts, its reasoning, its content and its calls, as the Responses API and Anthropic's tell it.

An endpoint says with its `PartShape` how the beginning, the growth and the end of a part look as events.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Generic, Literal, Protocol, TypeVar

from fastapi import Request

from runtime.api.events import tokens_of
from runtime.api.language import text_usage
from runtime.api.schemas.language import TextUsage
from runtime.api.streaming import NamedEvent, generate
from runtime.chat.answer import AnswerReader
from runtime.chat.prompt import ChatPrompt
from runtime.chat.reasoning import Piece
from runtime.chat.tools.call import ToolCall
from runtime.engine.client import EngineClient
from runtime.engine.messages import Finished, Generate, Tokenize, TokenLogprob
from runtime.errors import Cancelled, DemoticError

EventT = TypeVar("EventT", bound=NamedEvent)
Kind = Literal["reasoning", "content"]


class PartShape(Protocol[EventT]):
    """How one answer looks as events."""

    def begin(self) -> list[EventT]:
        """Events that come before all others."""

    def open(self, kind: Kind) -> list[EventT]:
        """Events of a part's beginning."""

    def weigh(self, tokens: Sequence[TokenLogprob], text: str) -> None:
        """Take note of the next text, of which the parts are told then, and of the logprobs that came with it."""

    def add(self, text: str) -> list[EventT]:
        """Events of the open part's growth."""

    def close(self, *, is_whole: bool) -> list[EventT]:
        """Events of the open part's end; it is not whole where the answer was cut off in it."""

    def call(self, call: ToolCall) -> list[EventT]:
        """Events of a call, while no part is open."""

    def end(self, finished: Finished, num_reasoning: int, usage: TextUsage) -> list[EventT]:
        """Events that come after all others; `num_reasoning` of the answer's tokens were reasoning.

        `usage` is what the counts of tokens leave out.
        """


async def part_events(
    shape: PartShape[EventT], prompt: ChatPrompt, said: str, request: Generate, client: EngineClient, http: Request
) -> AsyncGenerator[EventT]:
    """The answer to `request`, whose prompt is `prompt` and ends with what the user `said`, as events of `shape`.

    Raises:
        DemoticError: it failed.
    """
    writer = _PartWriter(shape, prompt.reader())
    is_begun = False
    async with aclosing(generate(client, request, http)) as events:
        async for event in events:
            if isinstance(event, Finished) and event.reason == "cancelled":
                raise Cancelled("The client has gone.")
            told = [] if is_begun else shape.begin()
            is_begun = True
            if isinstance(event, Finished):
                told += writer.finish(event)
                num_reasoning = await _count(writer.reasoning, client, request.request_id)
                answer = (writer.text, writer.content)
                usage = await text_usage(said, [answer], [event], client.context_length)
                # Bytes that are no text are told, and counted, as the longer U+FFFD.
                told += shape.end(event, min(num_reasoning, event.usage.completion_tokens), usage)
            else:
                shape.weigh(event.logprobs, event.text)
                told += writer.write(event.text)
            for each in told:
                yield each


class _PartWriter(Generic[EventT]):
    """Text in, events of parts out."""

    def __init__(self, shape: PartShape[EventT], reader: AnswerReader) -> None:
        self._shape = shape
        self._reader = reader
        self._has_called = False
        self._open: Kind | None = None
        # All of the answer, and what of it is reasoning and content.
        self.text = self.reasoning = self.content = ""

    def write(self, text: str) -> list[EventT]:
        """Take the next text; return the events of what is certain now."""
        self.text += text
        return [event for found in self._reader.push(text) for event in self._add(found)]

    def finish(self, finished: Finished) -> list[EventT]:
        """The last events; an answer that ended by itself, without a call, has a content, be it empty."""
        is_whole = finished.reason == "stop"
        events = [event for found in self._reader.finish() for event in self._add(found)]
        if is_whole and not self._has_called:
            events += self._change("content")
        return events + (self._shape.close(is_whole=is_whole) if self._open else [])

    def _add(self, piece: Piece | ToolCall) -> list[EventT]:
        if isinstance(piece, ToolCall):
            self._has_called = True
            events = self._shape.close(is_whole=True) if self._open else []
            self._open = None
            return events + self._shape.call(piece)
        if piece.kind == "reasoning":
            self.reasoning += piece.text
        else:
            self.content += piece.text
        return [*self._change(piece.kind), *(self._shape.add(piece.text) if piece.text else [])]

    def _change(self, kind: Kind) -> list[EventT]:
        """Have a part of `kind` open."""
        if kind == self._open:
            return []
        events = self._shape.close(is_whole=True) if self._open else []
        self._open = kind
        return events + self._shape.open(kind)


async def _count(text: str, client: EngineClient, request_id: str) -> int:
    """How many tokens `text` has; 0 where the model has gone meanwhile, which is no fault of the answer."""
    if not text:
        return 0
    try:
        return len(await tokens_of(client, Tokenize(f"{request_id}-count", text)))
    except DemoticError:
        return 0
