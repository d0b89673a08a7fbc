"""Kept answers of the Responses API: read back, with what they answer, followed up, deleted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from runtime.api.auth import sent_key
from runtime.api.schemas.input_items import InputItemList, items_of
from runtime.api.schemas.response_events import (
    CallItem,
    DeletedResponse,
    MessageItem,
    ResponseBody,
    ResponseEvent,
    StreamEvent,
)
from runtime.api.stored import ResponseStore, StoredResponse
from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall
from runtime.errors import InvalidRequest, PreviousResponseNotFound, ResponseNotFound

router = APIRouter(tags=["responses"])


@router.get("/v1/responses/{response_id}", response_model=ResponseBody)
async def get_response(response_id: str, http: Request) -> JSONResponse:
    """An answer that was kept."""
    if http.query_params.get("stream") == "true":
        raise InvalidRequest("A kept response cannot be streamed.", param="stream")
    return JSONResponse((await _found(response_id, http)).body)


@router.get("/v1/responses/{response_id}/input_items")
async def list_input_items(
    response_id: str,
    http: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> InputItemList:
    """What a kept answer answers: the conversation before it, the newest turn first."""
    stored = await _found(response_id, http)
    num_said = len(said_in(ResponseBody.model_validate(stored.body)))
    turns = stored.conversation[: len(stored.conversation) - num_said]
    return InputItemList.page(items_of(turns, response_id), limit=limit, is_newest_first=order == "desc", after=after)


@router.delete("/v1/responses/{response_id}")
async def delete_response(response_id: str, http: Request) -> DeletedResponse:
    """Keep an answer no more."""
    store: ResponseStore | None = http.app.state.store
    if store is None or not await asyncio.to_thread(store.delete, response_id, owner_of(http)):
        raise ResponseNotFound(response_id)
    return DeletedResponse(id=response_id)


async def keep(
    events: AsyncIterator[StreamEvent], turns: Sequence[Message], store: ResponseStore, owner: str
) -> AsyncIterator[StreamEvent]:
    """`events`; the answer is kept, with the conversation before it, before its end is told."""
    async for event in events:
        if isinstance(event, ResponseEvent) and event.response.status in {"completed", "incomplete"}:
            body = event.response
            conversation = [*turns, *said_in(body)]
            plain = body.model_dump(mode="json")
            body.store = await asyncio.to_thread(store.keep, body.id, owner, plain, conversation)
        yield event


async def conversation_before(response_id: str | None, http: Request) -> Sequence[Message]:
    """The conversation that ends with a kept answer.

    Raises:
        InvalidRequest: the server keeps none, or not this one.
    """
    if response_id is None:
        return ()
    if http.app.state.store is None:
        raise InvalidRequest("This server keeps no responses.", param="previous_response_id")
    stored = await _stored(response_id, http)
    if stored is None:
        raise PreviousResponseNotFound(response_id)
    return stored.conversation


def said_in(body: ResponseBody) -> list[Message]:
    """What an answer adds to its conversation: one turn, without its reasoning."""
    texts = [item.content[0].text for item in body.output if isinstance(item, MessageItem)]
    calls = [ToolCall(item.call_id, item.name, item.arguments) for item in body.output if isinstance(item, CallItem)]
    return [Message("assistant", "\n".join(texts), tuple(calls))] if texts or calls else []


def owner_of(http: Request) -> str:
    """Whose answers a request may see: those of its key, which itself is not kept; without keys all are one's own."""
    if not http.app.state.has_keys:
        return ""
    return hashlib.sha256(sent_key(dict(http.scope["headers"]))).hexdigest()


async def _stored(response_id: str, http: Request) -> StoredResponse | None:
    store: ResponseStore | None = http.app.state.store
    return None if store is None else await asyncio.to_thread(store.get, response_id, owner_of(http))


async def _found(response_id: str, http: Request) -> StoredResponse:
    stored = await _stored(response_id, http)
    if stored is None:
        raise ResponseNotFound(response_id)
    return stored
