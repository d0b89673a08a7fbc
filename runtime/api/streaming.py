"""From generated text to HTTP: the events of one request or several, and server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from runtime.api.errors import error_body
from runtime.api.events import taken_back_when_gone
from runtime.api.metrics import Metrics
from runtime.api.schemas.chat import ChatCompletionChunk
from runtime.api.schemas.completions import Completion
from runtime.api.schemas.translate import TranslationChunk
from runtime.engine.awaiting import stream_async
from runtime.engine.client import EngineClient
from runtime.engine.messages import Delta, Finished, Generate
from runtime.errors import DemoticError

StreamedChunk = ChatCompletionChunk | Completion
AnyChunk = StreamedChunk | TranslationChunk


async def generate_all(
    client: EngineClient, messages: Sequence[Generate], http: Request
) -> AsyncGenerator[tuple[int, Delta | Finished]]:
    """Events of several requests as they come, each with its request's index in `messages`.

    However it ends, all that are not done by then are taken back.

    Raises:
        DemoticError: one of them failed.
    """
    arrived: asyncio.Queue[tuple[int, Delta | Finished] | Exception] = asyncio.Queue()

    async def read(index: int, message: Generate) -> None:
        try:
            async for event in generate(client, message, http):
                arrived.put_nowait((index, event))
        except Exception as error:  # noqa: BLE001  # raised below, where somebody waits for it
            arrived.put_nowait(error)

    readers = [asyncio.create_task(read(index, message)) for index, message in enumerate(messages)]
    num_open = len(readers)
    try:
        while num_open:
            event = await arrived.get()
            if isinstance(event, Exception):
                raise event
            num_open -= isinstance(event[1], Finished)
            yield event
    finally:
        for reader in readers:
            reader.cancel()


async def generate(client: EngineClient, message: Generate, http: Request) -> AsyncGenerator[Delta | Finished]:
    """Events of one request, which is taken back as soon as the client has gone."""
    metrics: Metrics = http.app.state.metrics
    async with taken_back_when_gone(client, message.request_id, http):
        with metrics.record(client, http) as record:
            async with aclosing(stream_async(client, message)) as events:
                async for event in events:
                    record.see(event)
                    yield event


async def sse_response(
    chunks: AsyncIterator[AnyChunk], *, wants_usage: bool, headers: dict[str, str]
) -> StreamingResponse:
    """`chunks` as server-sent events. A fault before the first is raised, so that it keeps its HTTP status."""
    first = await anext(chunks)
    return StreamingResponse(_encode(first, chunks, wants_usage), media_type="text/event-stream", headers=headers)


async def _encode(first: AnyChunk, rest: AsyncIterator[AnyChunk], wants_usage: bool) -> AsyncIterator[str]:
    yield _event(first)
    try:
        async for chunk in rest:
            if chunk.usage is None or wants_usage:
                yield _event(chunk)
    except DemoticError as error:
        yield f"data: {json.dumps(error_body(error), ensure_ascii=False)}\n\n"
        return
    yield "data: [DONE]\n\n"


def _event(chunk: AnyChunk) -> str:
    # OpenAI leaves the key out, rather than null, where no counts were asked for.
    return f"data: {chunk.model_dump_json(exclude=None if chunk.usage else {'usage'})}\n\n"


class NamedEvent(BaseModel):
    """A server-sent event that says its type, both in its `event` line and in its data."""

    type: str


async def named_response(
    events: AsyncIterator[NamedEvent], on_fault: Callable[[DemoticError], NamedEvent], *, headers: dict[str, str]
) -> StreamingResponse:
    """`events` as server-sent events. A fault before the first is raised; a later one ends them with `on_fault`."""
    first = await anext(events)

    async def encode() -> AsyncIterator[str]:
        yield _named(first)
        try:
            async for event in events:
                yield _named(event)
        except DemoticError as error:
            yield _named(on_fault(error))

    return StreamingResponse(encode(), media_type="text/event-stream", headers=headers)


def _named(event: NamedEvent) -> str:
    return f"event: {event.type}\ndata: {event.model_dump_json()}\n\n"
