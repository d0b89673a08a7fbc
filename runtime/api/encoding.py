"""From requests for vectors or scores to the worker and back, whatever endpoint they came to."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from fastapi import Request

from runtime.engine.client import EngineClient
from runtime.engine.messages import Encode, Event, Failed, Framed, Overflow, Pair, Row, Tokenize, Tokens
from runtime.engine.rows import RowCollector, Rows
from runtime.errors import InferenceFailed, InvalidRequest
from runtime.model import Model


async def encode(
    model: Model,
    inputs: Sequence[str | tuple[int, ...] | Pair | Framed],
    http: Request,
    *,
    param: str,
    overflow: Overflow = "error",
    dimensions: int | None = None,
) -> Rows:
    """The numbers of each of `inputs`; the request is taken back as soon as the client has gone.

    Raises:
        DemoticError: the request failed; errors call the inputs `param`.
    """
    request = Encode(f"enc-{uuid.uuid4().hex}", tuple(inputs), overflow, dimensions, param)
    rows = RowCollector(len(inputs))
    watcher = asyncio.create_task(_abort_when_gone(model.client, request.request_id, http))
    try:
        async with aclosing(_events(model.client, request)) as events:
            async for event in events:
                if (whole := rows.take(event)) is not None:
                    return whole
    finally:
        watcher.cancel()
    raise InferenceFailed("The answer was cut off before its end.")


async def tokenize(client: EngineClient, text: str, *, parse_special: bool = False) -> tuple[int, ...]:
    """Token ids of `text`, which stands within a longer one.

    Raises:
        DemoticError: the engine cannot tell them.
    """
    request = Tokenize(f"tok-{uuid.uuid4().hex}", text, parse_special=parse_special, add_special=False)
    async with aclosing(_events(client, request)) as events:
        async for event in events:
            if isinstance(event, Failed):
                raise event.error
            assert isinstance(event, Tokens)  # noqa: S101  # the only other answer to `Tokenize`
            return event.tokens
    raise InferenceFailed("The answer was cut off before its end.")


def wrong_model(model: Model, wanted: str) -> InvalidRequest:
    """The error for a model that was asked for what it is not for."""
    encoding = model.card.encoding
    purpose = "generates text (/v1/chat/completions, /v1/completions)" if encoding is None else encoding.purpose
    return InvalidRequest(f"{model.name} {purpose}; {wanted}.", param="model")


async def _events(client: EngineClient, request: Encode | Tokenize) -> AsyncGenerator[Event]:
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
            is_open = isinstance(event, Row)
            yield event
    finally:
        if is_open:
            client.abort(request.request_id)


async def _abort_when_gone(client: EngineClient, request_id: str, http: Request) -> None:
    # The body has been read already, so that nothing else is to come.
    while (await http.receive())["type"] != "http.disconnect":
        pass
    client.abort(request_id)
