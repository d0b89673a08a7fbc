"""From requests for vectors or scores to the worker and back, whatever endpoint they came to."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import aclosing
from typing import TypeVar

from fastapi import Request

from runtime.api.events import taken_back_when_gone, tokens_of
from runtime.engine.awaiting import events_of
from runtime.engine.client import EngineClient
from runtime.engine.messages import (
    Encode,
    EncodingRequest,
    Entities,
    FillMask,
    Fills,
    Framed,
    LabelTokens,
    Overflow,
    Pair,
    Tokenize,
)
from runtime.engine.rows import Collector, PartCollector, Parts, RowCollector, Rows
from runtime.errors import InferenceFailed, InvalidRequest
from runtime.model import Model

_Whole = TypeVar("_Whole")


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
    return await _collected(model, request, RowCollector(len(inputs)), http)


async def find_entities(model: Model, request: LabelTokens, http: Request) -> Parts[Entities]:
    """The entities of each input. Raises and is taken back as `encode`."""
    return await _collected(model, request, PartCollector(Entities, len(request.inputs)), http)


async def fill_masks(model: Model, request: FillMask, http: Request) -> Parts[Fills]:
    """The likeliest tokens for each mask of each input. Raises and is taken back as `encode`."""
    return await _collected(model, request, PartCollector(Fills, len(request.inputs)), http)


async def _collected(model: Model, request: EncodingRequest, collector: Collector[_Whole], http: Request) -> _Whole:
    async with (
        taken_back_when_gone(model.client, request.request_id, http),
        aclosing(events_of(model.client, request)) as events,
    ):
        async for event in events:
            if (whole := collector.take(event)) is not None:
                return whole
    raise InferenceFailed("The answer was cut off before its end.")


async def tokenize(client: EngineClient, text: str, *, parse_special: bool = False) -> tuple[int, ...]:
    """Token ids of `text`, which stands within a longer one.

    Raises:
        DemoticError: the engine cannot tell them.
    """
    return await tokens_of(
        client, Tokenize(f"tok-{uuid.uuid4().hex}", text, parse_special=parse_special, add_special=False)
    )


def wrong_model(model: Model, wanted: str) -> InvalidRequest:
    """The error for a model that was asked for what it is not for."""
    encoding = model.card.encoding
    purpose = "generates text (/v1/chat/completions, /v1/completions)" if encoding is None else encoding.purpose
    return InvalidRequest(f"{model.name} {purpose}; {wanted}.", param="model")
