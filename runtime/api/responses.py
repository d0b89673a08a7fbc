"""`/v1/responses`: answer a conversation that the server keeps, in OpenAI's newer shape."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from itertools import takewhile
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runtime.api.auth import sent_key
from runtime.api.conversation import ChatPrompt, effort_variables, name_results
from runtime.api.language import last_said, said_by_user, text_usage, user_language
from runtime.api.parts import Kind, part_events
from runtime.api.routing import route
from runtime.api.schemas.response_events import (
    ArgumentsDelta,
    ArgumentsDone,
    CallItem,
    DeletedResponse,
    IncompleteDetails,
    ItemEvent,
    LifeEvent,
    MessageItem,
    OutputItem,
    OutputText,
    PartEvent,
    ReasoningDelta,
    ReasoningDone,
    ReasoningItem,
    ReasoningText,
    ResponseBody,
    ResponseEvent,
    ResponseFault,
    ResponseUsage,
    StreamEvent,
    TextDelta,
    TextDone,
)
from runtime.api.schemas.responses import ResponseRequest
from runtime.api.schemas.tools import CallReport
from runtime.api.stored import ResponseStore, StoredResponse
from runtime.api.streaming import named_response
from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall
from runtime.engine.messages import Finished
from runtime.engine.pool import ModelPool
from runtime.errors import DemoticError, InferenceFailed, InvalidRequest, PreviousResponseNotFound, ResponseNotFound

router = APIRouter(tags=["responses"])


@router.post("/v1/responses", response_model=ResponseBody)
async def create_response(body: ResponseRequest, http: Request) -> Response:
    """Answer a conversation, and keep it so that it can go on."""
    store: ResponseStore | None = http.app.state.store
    if store is None and body.store:
        raise InvalidRequest("This server keeps no responses.", param="store")
    earlier = await _conversation(body.previous_response_id, http)
    pool: ModelPool = http.app.state.pool
    turns = name_results([*earlier, *body.messages()], param="input")
    tools = body.tool_use().normalising(body.normalize)
    said = last_said(turns)
    routed = await route(body.model, body, said_by_user(turns), http)
    async with pool.hold(routed.model, body.adapter) as (model, adapter):
        instructions = [Message("system", body.instructions)] if body.instructions else []
        template = model.card.template
        prompt = ChatPrompt.render(
            template,
            _join_system([*instructions, *turns]),
            effort_variables(body.effort, template, param="reasoning.effort"),
            tools,
            await user_language(body, said) if tools.told else None,
        )
        response_id = f"resp_{uuid.uuid4().hex}"
        request = prompt.to_request(
            response_id,
            body.sampling(),
            body.max_output_tokens,
            adapter=adapter,
            constraint=body.constraint(),
            param="input",
            lock=body.lock(said, prompt.exempt),
            max_characters=body.max_characters,
        )
        keeps = store is not None and body.store is not False
        name = routed.model or model.name
        headers = body.response_headers | routed.headers
        shape = ResponseShape(
            ResponseBody.from_request(body, response_id, created=int(time.time()), model=name, store=keeps)
        )
        answered = part_events(shape, prompt, request, model.client, http)
        events = _measured(answered, shape, said, model.client.context_length)
        if store is not None and keeps:
            events = _keep(events, turns, store, _owner(http))
        if body.stream:
            return await named_response(events, shape.fail, headers=headers)
        return JSONResponse((await _fold(events)).model_dump(mode="json"), headers=headers)


@router.get("/v1/responses/{response_id}", response_model=ResponseBody)
async def get_response(response_id: str, http: Request) -> JSONResponse:
    """An answer that was kept."""
    if http.query_params.get("stream") == "true":
        raise InvalidRequest("A kept response cannot be streamed.", param="stream")
    stored = await _stored(response_id, http)
    if stored is None:
        raise ResponseNotFound(response_id)
    return JSONResponse(stored.body)


@router.delete("/v1/responses/{response_id}")
async def delete_response(response_id: str, http: Request) -> DeletedResponse:
    """Keep an answer no more."""
    store: ResponseStore | None = http.app.state.store
    if store is None or not await asyncio.to_thread(store.delete, response_id, _owner(http)):
        raise ResponseNotFound(response_id)
    return DeletedResponse(id=response_id)


class ResponseShape:
    """`runtime.api.parts.PartShape` of a response: each part is an item, which has a single part of its own."""

    def __init__(self, body: ResponseBody) -> None:
        """`body` grows with the answer."""
        self._body = body
        self._num_events = 0
        self.finished: Finished | None = None

    def begin(self) -> list[StreamEvent]:
        """See `PartShape.begin`."""
        return [self._life("response.created"), self._life("response.in_progress")]

    def open(self, kind: Kind) -> list[StreamEvent]:
        """See `PartShape.open`."""
        is_reasoning = kind == "reasoning"
        name = uuid.uuid4().hex
        self._body.output.append(ReasoningItem(id=f"rs_{name}") if is_reasoning else MessageItem(id=f"msg_{name}"))
        added = self._item("response.output_item.added")
        self._said.content = [ReasoningText()] if is_reasoning else [OutputText()]
        return [added, self._part("response.content_part.added")]

    def add(self, text: str) -> list[StreamEvent]:
        """See `PartShape.add`."""
        self._said.content[0].text += text
        if isinstance(self._last, ReasoningItem):
            return [ReasoningDelta(**self._place(), delta=text)]
        return [TextDelta(**self._place(), delta=text)]

    def close(self, *, is_whole: bool) -> list[StreamEvent]:
        """See `PartShape.close`."""
        text = self._said.content[0].text
        is_reasoning = isinstance(self._last, ReasoningItem)
        done = ReasoningDone(**self._place(), text=text) if is_reasoning else TextDone(**self._place(), text=text)
        part = self._part("response.content_part.done")
        self._last.status = "completed" if is_whole else "incomplete"
        return [done, part, self._item("response.output_item.done")]

    def call(self, call: ToolCall) -> list[StreamEvent]:
        """See `PartShape.call`."""
        item = CallItem(id=f"fc_{uuid.uuid4().hex}", call_id=call.id, name=call.name)
        self._body.output.append(item)
        added = self._item("response.output_item.added")
        delta = ArgumentsDelta(**self._place(), delta=call.arguments)
        done = ArgumentsDone(**self._place(), name=call.name, arguments=call.arguments)
        item.arguments, item.status, item.demotic = call.arguments, "completed", CallReport.of_call(call)
        return [added, delta, done, self._item("response.output_item.done")]

    def end(self, finished: Finished, num_reasoning: int) -> list[StreamEvent]:
        """See `PartShape.end`."""
        self.finished = finished
        self._body.usage = ResponseUsage.from_finished(finished, num_reasoning)
        if finished.reason == "length":
            self._body.status, self._body.incomplete_details = "incomplete", IncompleteDetails()
            return [self._life("response.incomplete")]
        self._body.status, self._body.completed_at = "completed", int(time.time())
        return [self._life("response.completed")]

    def fail(self, error: DemoticError) -> StreamEvent:
        """The last event of an answer that failed after its first."""
        for item in self._body.output:
            item.status = "incomplete" if item.status == "in_progress" else item.status
        self._body.status, self._body.store = "failed", False
        self._body.error = ResponseFault(message=str(error))
        return self._life("response.failed")

    @property
    def _last(self) -> OutputItem:
        return self._body.output[-1]

    @property
    def _said(self) -> MessageItem | ReasoningItem:
        """The last item while it grows: calls come whole."""
        last = self._last
        assert not isinstance(last, CallItem)  # noqa: S101
        return last

    def _life(self, kind: LifeEvent) -> StreamEvent:
        return ResponseEvent(type=kind, sequence_number=self._next(), response=self._body.model_copy(deep=True))

    def _item(self, kind: Literal["response.output_item.added", "response.output_item.done"]) -> StreamEvent:
        return ItemEvent(
            type=kind,
            sequence_number=self._next(),
            output_index=len(self._body.output) - 1,
            item=self._last.model_copy(deep=True),
        )

    def _part(self, kind: Literal["response.content_part.added", "response.content_part.done"]) -> StreamEvent:
        return PartEvent(type=kind, **self._place(), part=self._said.content[0].model_copy())

    def _place(self) -> dict[str, Any]:
        """Fields of an event in the last item."""
        return {
            "sequence_number": self._next(),
            "item_id": self._last.id,
            "output_index": len(self._body.output) - 1,
        }

    def _next(self) -> int:
        self._num_events += 1
        return self._num_events - 1


async def _measured(
    events: AsyncIterator[StreamEvent], shape: ResponseShape, said: str, context_length: int
) -> AsyncIterator[StreamEvent]:
    """`events`, the last of which tells what tokens leave out of the answer to `said`."""
    async for event in events:
        if isinstance(event, ResponseEvent) and shape.finished is not None and event.response.usage is not None:
            items = [item for item in event.response.output if isinstance(item, MessageItem | ReasoningItem)]
            content = "".join(item.content[0].text for item in items if isinstance(item, MessageItem))
            text = "".join(item.content[0].text for item in items)
            event.response.usage.demotic = await text_usage(said, [(text, content)], [shape.finished], context_length)
        yield event


async def _keep(
    events: AsyncIterator[StreamEvent], turns: Sequence[Message], store: ResponseStore, owner: str
) -> AsyncIterator[StreamEvent]:
    """`events`; the answer is kept, with the conversation before it, before its end is told."""
    async for event in events:
        if isinstance(event, ResponseEvent) and event.response.status in {"completed", "incomplete"}:
            body = event.response
            conversation = [*turns, *_said_in(body)]
            plain = body.model_dump(mode="json")
            body.store = await asyncio.to_thread(store.keep, body.id, owner, plain, conversation)
        yield event


def _said_in(body: ResponseBody) -> list[Message]:
    """What an answer adds to its conversation: one turn, without its reasoning."""
    texts = [item.content[0].text for item in body.output if isinstance(item, MessageItem)]
    calls = [ToolCall(item.call_id, item.name, item.arguments) for item in body.output if isinstance(item, CallItem)]
    return [Message("assistant", "\n".join(texts), tuple(calls))] if texts or calls else []


async def _fold(events: AsyncIterator[StreamEvent]) -> ResponseBody:
    """The answer in one object: the last of the events that a streaming client gets has it."""
    last = None
    async for event in events:
        last = event
    if not isinstance(last, ResponseEvent):
        raise InferenceFailed("The answer was cut off before its end.")
    return last.response


async def _conversation(response_id: str | None, http: Request) -> Sequence[Message]:
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


async def _stored(response_id: str, http: Request) -> StoredResponse | None:
    store: ResponseStore | None = http.app.state.store
    return None if store is None else await asyncio.to_thread(store.get, response_id, _owner(http))


def _owner(http: Request) -> str:
    """Whose answers a request may see: those of its key, which itself is not kept; without keys all are one's own."""
    if not http.app.state.has_keys:
        return ""
    return hashlib.sha256(sent_key(dict(http.scope["headers"]))).hexdigest()


def _join_system(messages: Sequence[Message]) -> list[Message]:
    """Leading system messages as one, since many templates take only one."""
    leading = list(takewhile(lambda message: message.role == "system", messages))
    if not leading:
        return list(messages)
    joined = Message("system", "\n\n".join(message.content for message in leading))
    return [joined, *messages[len(leading) :]]
