"""An engine's events in an event loop, whatever was asked, and the end of a request whose client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import Request

from runtime.engine import messages
from runtime.engine.client import EngineClient
from runtime.engine.messages import Delta, Event, Failed, Row, Tokenize, Tokens


async def events_of(client: EngineClient, request: messages.Request) -> AsyncGenerator[Event]:
    """Events of one request up to the last; leaving early takes it back."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[Event] = asyncio.Queue()

    def deliver(event: Event) -> None:
        # The loop may be closed already when the program ends in the middle of an answer.
        if not loop.is_closed():
            loop.call_soon_threadsafe(arrived.put_nowait, event)

    client.submit(request, deliver)
    is_open = True
    try:
        while is_open:
            event = await arrived.get()
            is_open = isinstance(event, Delta | Row)
            yield event
    finally:
        if is_open:
            client.abort(request.request_id)


async def only_event(client: EngineClient, request: messages.Request) -> Event:
    """The only event of a request that has one.

    Raises:
        DemoticError: it is a failure.
    """
    async with aclosing(events_of(client, request)) as events:
        event = await anext(events)
    if isinstance(event, Failed):
        raise event.error
    return event


async def tokens_of(client: EngineClient, request: Tokenize) -> tuple[int, ...]:
    """Token ids of the text of `request`.

    Raises:
        DemoticError: the engine cannot tell them.
    """
    event = await only_event(client, request)
    assert isinstance(event, Tokens)  # noqa: S101  # the only other answer to `Tokenize`
    return event.tokens


@asynccontextmanager
async def taken_back_when_gone(client: EngineClient, request_id: str, http: Request) -> AsyncIterator[None]:
    """While the block runs, take the request back as soon as the client of `http` has gone."""

    async def watch() -> None:
        # The body has been read already, so that nothing else is to come.
        while (await http.receive())["type"] != "http.disconnect":
            pass
        client.abort(request_id)

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
