"""An engine's events in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from runtime.engine.client import EngineClient, or_raise
from runtime.engine.messages import Delta, Event, Finished, Generate


async def stream_async(client: EngineClient, message: Generate) -> AsyncGenerator[Delta | Finished]:
    """`runtime.engine.client.stream` for an event loop."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event] = asyncio.Queue()

    def deliver(event: Event) -> None:
        # The loop may be closed already when the program ends in the middle of an answer.
        if not loop.is_closed():
            loop.call_soon_threadsafe(events.put_nowait, event)

    client.submit(message, deliver)
    is_open = True
    try:
        while is_open:
            event = await events.get()
            is_open = isinstance(event, Delta)
            yield or_raise(event)
    finally:
        if is_open:
            client.abort(message.request_id)
