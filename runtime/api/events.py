"""An engine's events in an event loop, whatever was asked, and the end of a request whose client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import Request

from runtime.engine import messages
from runtime.engine.awaiting import events_of
from runtime.engine.client import EngineClient
from runtime.engine.messages import Event, Failed, Tokenize, Tokens


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
