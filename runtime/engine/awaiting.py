"""An engine's events in an event loop, whatever was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from runtime.engine import messages
from runtime.engine.client import EngineClient, or_raise
from runtime.engine.messages import Delta, Event, Finished, Generate, Part


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
            is_open = isinstance(event, Delta | Part)
            yield event
    finally:
        if is_open:
            client.abort(request.request_id)


async def stream_async(client: EngineClient, message: Generate) -> AsyncGenerator[Delta | Finished]:
    """`runtime.engine.client.stream` for an event loop."""
    async with aclosing(events_of(client, message)) as events:
        async for event in events:
            yield or_raise(event)
