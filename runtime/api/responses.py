"""`/v1/responses`: answer a conversation that the server keeps, in OpenAI's newer shape."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from itertools import takewhile
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runtime.api.conversation import effort_variables, name_results
from runtime.api.defaults import filled
from runtime.api.kept import conversation_before, keep, owner_of
from runtime.api.language import user_language
from runtime.api.parts import Kind, part_events
from runtime.api.routing import route
from runtime.api.schemas.language import TextUsage
from runtime.api.schemas.logprobs import ChatLogprobs, ChatTokenLogprob
from runtime.api.schemas.response_events import (
    ArgumentsDelta,
    ArgumentsDone,
    CallItem,
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
from runtime.api.stored import ResponseStore
from runtime.api.streaming import named_response
from runtime.chat.prompt import ChatPrompt
from runtime.chat.said import last_said, said_by_user
from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall
from runtime.engine.messages import Finished, TokenLogprob
from runtime.engine.pool import ModelPool
from runtime.errors import DemoticError, InferenceFailed, InvalidRequest

router = APIRouter(tags=["responses"])


@router.post("/v1/responses", response_model=ResponseBody)
async def create_response(body: ResponseRequest, http: Request) -> Response:
    """Answer a conversation, and keep it so that it can go on."""
    store: ResponseStore | None = http.app.state.store
    if store is None and body.store:
        raise InvalidRequest("This server keeps no responses.", param="store")
    earlier = await conversation_before(body.previous_response_id, http)
    pool: ModelPool = http.app.state.pool
    turns = name_results([*earlier, *body.messages()], param="input")
    tools = body.tool_use().normalising(body.normalize)
    said = last_said(turns)
    routed = await route(body.model, body, said_by_user(turns), http)
    async with pool.hold(routed.model, body.adapter) as (model, adapter):
        body = filled(body, model.card)
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
            logprobs=body.num_logprobs,
            param="input",
            lock=body.lock(said, prompt.exempt),
            max_characters=body.max_characters,
        )
        request = model.card.as_trained(request)
        keeps = store is not None and body.store is not False
        name = routed.model or model.name
        headers = body.response_headers | routed.headers
        shape = ResponseShape(
            ResponseBody.from_request(body, response_id, created=int(time.time()), model=name, store=keeps)
        )
        events: AsyncIterator[StreamEvent] = part_events(shape, prompt, said, request, model.client, http)
        if store is not None and keeps:
            events = keep(events, turns, store, owner_of(http))
        if body.stream:
            return await named_response(events, shape.fail, headers=headers)
        return JSONResponse((await _fold(events)).model_dump(mode="json"), headers=headers)


class ResponseShape:
    """`runtime.api.parts.PartShape` of a response: each part is an item, which has a single part of its own."""

    def __init__(self, body: ResponseBody) -> None:
        """`body` grows with the answer."""
        self._body = body
        self._num_events = 0
        # Bytes of the answer so far, as text and as tokens, and the tokens that are not told of, with where they begin.
        self._num_bytes = self._num_token_bytes = 0
        self._logprobs: list[tuple[int, ChatTokenLogprob]] = []

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

    def weigh(self, tokens: Sequence[TokenLogprob], text: str) -> None:
        """See `PartShape.weigh`."""
        if self._body.output and isinstance(self._last, ReasoningItem):
            # All that was told of before this text is reasoning, and the marks around it.
            self._logprobs = [(at, token) for at, token in self._logprobs if at >= self._num_bytes]
        for token in ChatLogprobs.from_tokens(tokens).content:
            self._logprobs.append((self._num_token_bytes, token))
            self._num_token_bytes += len(token.bytes)
        self._num_bytes += len(text.encode())

    def add(self, text: str) -> list[StreamEvent]:
        """See `PartShape.add`."""
        part = self._said.content[0]
        if isinstance(part, ReasoningText):
            part.text += text
            return [ReasoningDelta(**self._place(), delta=text)]
        # Tokens come before their text: those of a text that is held back are told of already.
        start = 0 if part.text else self._num_bytes - len(text.encode())
        told = [token for at, token in self._logprobs if at >= start]
        self._logprobs = []
        part.text += text
        part.logprobs += told
        return [TextDelta(**self._place(), delta=text, logprobs=tuple(told))]

    def close(self, *, is_whole: bool) -> list[StreamEvent]:
        """See `PartShape.close`."""
        done: StreamEvent
        said = self._said.content[0]
        if isinstance(said, ReasoningText):
            done = ReasoningDone(**self._place(), text=said.text)
        else:
            # Tokens without a text of their own, such as those of a stop string.
            said.logprobs += [token for _, token in self._logprobs]
            done = TextDone(**self._place(), text=said.text, logprobs=tuple(said.logprobs))
            self._logprobs = []
        part = self._part("response.content_part.done")
        self._last.status = "completed" if is_whole else "incomplete"
        return [done, part, self._item("response.output_item.done")]

    def call(self, call: ToolCall) -> list[StreamEvent]:
        """See `PartShape.call`."""
        self._logprobs = []
        item = CallItem(id=f"fc_{uuid.uuid4().hex}", call_id=call.id, name=call.name)
        self._body.output.append(item)
        added = self._item("response.output_item.added")
        delta = ArgumentsDelta(**self._place(), delta=call.arguments)
        done = ArgumentsDone(**self._place(), name=call.name, arguments=call.arguments)
        item.arguments, item.status, item.demotic = call.arguments, "completed", CallReport.of_call(call)
        return [added, delta, done, self._item("response.output_item.done")]

    def end(self, finished: Finished, num_reasoning: int, usage: TextUsage) -> list[StreamEvent]:
        """See `PartShape.end`."""
        self._body.usage = ResponseUsage.from_finished(finished, num_reasoning)
        self._body.usage.demotic = usage
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


async def _fold(events: AsyncIterator[StreamEvent]) -> ResponseBody:
    """The answer in one object: the last of the events that a streaming client gets has it."""
    last = None
    async for event in events:
        last = event
    if not isinstance(last, ResponseEvent):
        raise InferenceFailed("The answer was cut off before its end.")
    return last.response


def _join_system(messages: Sequence[Message]) -> list[Message]:
    """Leading system messages as one, since many templates take only one."""
    leading = list(takewhile(lambda message: message.role == "system", messages))
    if not leading:
        return list(messages)
    joined = Message("system", "\n\n".join(message.content for message in leading))
    return [joined, *messages[len(leading) :]]
