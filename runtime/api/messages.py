"""`/v1/messages`: answer a conversation in Anthropic's shape."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runtime.api.defaults import filled
from runtime.api.errors import anthropic_error
from runtime.api.events import tokens_of
from runtime.api.language import user_language
from runtime.api.parts import Kind, part_events
from runtime.api.routing import route
from runtime.api.schemas.language import TextUsage
from runtime.api.schemas.message_events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    ContentBlock,
    ErrorEvent,
    InputDelta,
    MessageBody,
    MessageDelta,
    MessageStart,
    MessageStop,
    MessageUsage,
    Ping,
    StopDelta,
    StopReason,
    StreamEvent,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    TokenCount,
    ToolUseBlock,
)
from runtime.api.schemas.messages import CountRequest, MessageRequest
from runtime.api.schemas.tools import CallReport
from runtime.api.streaming import named_response
from runtime.chat.prompt import ChatPrompt
from runtime.chat.said import last_said, said_by_user
from runtime.chat.template import ChatTemplate, Message
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.use import ToolUse
from runtime.engine.messages import Finished, Tokenize, TokenLogprob
from runtime.engine.pool import ModelPool
from runtime.errors import DemoticError, InferenceFailed

router = APIRouter(tags=["messages"])


@router.post("/v1/messages", response_model=MessageBody)
async def create_message(body: MessageRequest, http: Request) -> Response:
    """Answer a conversation."""
    pool: ModelPool = http.app.state.pool
    turns = body.conversation()
    said = last_said(turns)
    routed = await route(body.model, body, said_by_user(turns), http)
    tools = body.tool_use().normalising(body.normalize)
    async with pool.hold(routed.model, body.adapter) as (model, adapter):
        body = filled(body, model.card)
        prompt = await _prompt(body, turns, tools, model.card.template)
        message_id = f"msg_{uuid.uuid4().hex}"
        request = prompt.to_request(
            message_id,
            body.sampling(),
            body.max_tokens,
            stop=body.stops,
            adapter=adapter,
            constraint=body.constraint(),
            lock=body.lock(said, prompt.exempt),
            max_characters=body.max_characters,
        )
        request = model.card.as_trained(request)
        name = routed.model or model.name
        headers = body.response_headers | routed.headers
        if not body.stream:
            shape = MessageShape(message_id, name, body.stops)
            answer = await _fold(part_events(shape, prompt, said, request, model.client, http))
            return JSONResponse(answer.model_dump(mode="json"), headers=headers)
        # The first event of a stream has the length of the prompt, which the engine tells only with the last.
        num_prompt = len(await tokens_of(model.client, _length(prompt)))
        shape = MessageShape(message_id, name, body.stops, num_prompt)
        events = _pinged(part_events(shape, prompt, said, request, model.client, http))
        return await named_response(events, shape.fail, headers=headers)


@router.post("/v1/messages/count_tokens")
async def count_message_tokens(body: CountRequest, http: Request, response: Response) -> TokenCount:
    """How many tokens the prompt of a message has; nothing is generated."""
    pool: ModelPool = http.app.state.pool
    turns = body.conversation()
    routed = await route(body.model, body, said_by_user(turns), http)
    async with pool.hold(routed.model, None) as (model, _):
        prompt = await _prompt(body, turns, body.tool_use(), model.card.template)
        response.headers.update(body.response_headers)
        return TokenCount(input_tokens=len(await tokens_of(model.client, _length(prompt))))


async def _prompt(body: CountRequest, turns: list[Message], tools: ToolUse, template: ChatTemplate) -> ChatPrompt:
    language = await user_language(body, last_said(turns)) if tools.told else None
    return ChatPrompt.render(template, turns, body.template_variables(template), tools, language)


class MessageShape:
    """`runtime.api.parts.PartShape` of a message: each part is a block."""

    def __init__(self, message_id: str, model: str, stops: tuple[str, ...], num_prompt: int = 0) -> None:
        """`stops` are the request's own stop strings; `num_prompt` tokens are those that the beginning tells of."""
        self._message = MessageBody(id=message_id, model=model, usage=MessageUsage(input_tokens=num_prompt))
        self._stops = stops
        self._index = -1
        self._kind: Kind = "content"
        self._has_called = False

    def begin(self) -> list[StreamEvent]:
        """See `PartShape.begin`."""
        return [MessageStart(message=self._message)]

    def open(self, kind: Kind) -> list[StreamEvent]:
        """See `PartShape.open`."""
        self._kind = kind
        self._index += 1
        block = ThinkingBlock() if kind == "reasoning" else TextBlock()
        return [BlockStart(index=self._index, content_block=block)]

    def weigh(self, tokens: Sequence[TokenLogprob], text: str) -> None:
        """See `PartShape.weigh`: Anthropic's shape has no place for them."""

    def add(self, text: str) -> list[StreamEvent]:
        """See `PartShape.add`."""
        delta = ThinkingDelta(thinking=text) if self._kind == "reasoning" else TextDelta(text=text)
        return [BlockDelta(index=self._index, delta=delta)]

    def close(self, *, is_whole: bool) -> list[StreamEvent]:  # noqa: ARG002  # a block does not say so
        """See `PartShape.close`."""
        return [BlockStop(index=self._index)]

    def call(self, call: ToolCall) -> list[StreamEvent]:
        """See `PartShape.call`."""
        self._has_called = True
        self._index += 1
        toolu = call.id.replace("call_", "toolu_", 1)
        block = ToolUseBlock(id=toolu, name=call.name, demotic=CallReport.of_call(call))
        delta = BlockDelta(index=self._index, delta=InputDelta(partial_json=call.arguments))
        return [BlockStart(index=self._index, content_block=block), delta, BlockStop(index=self._index)]

    def end(
        self,
        finished: Finished,
        num_reasoning: int,  # noqa: ARG002  # it is not told
        usage: TextUsage,
    ) -> list[StreamEvent]:
        """See `PartShape.end`."""
        reason: StopReason = "max_tokens" if finished.reason == "length" else "end_turn"
        if self._has_called and finished.reason == "stop":
            reason = "tool_use"
        # A model without a template is stopped by a string that the request did not ask for.
        stop = finished.stopped_by if finished.stopped_by in self._stops else None
        delta = StopDelta(stop_reason=reason if stop is None else "stop_sequence", stop_sequence=stop)
        told = MessageUsage.from_usage(finished.usage)
        told.demotic = usage
        return [MessageDelta(delta=delta, usage=told), MessageStop()]

    def fail(self, error: DemoticError) -> StreamEvent:
        """The last event of an answer that failed after its first."""
        return ErrorEvent(error=anthropic_error(error)["error"])


async def _pinged(events: AsyncIterator[StreamEvent]) -> AsyncIterator[StreamEvent]:
    """`events` with a ping after the first, as Anthropic's streams have it."""
    async for event in events:
        yield event
        if isinstance(event, MessageStart):
            yield Ping()


async def _fold(events: AsyncIterator[StreamEvent]) -> MessageBody:
    """The answer in one object, from the very events that a streaming client gets."""
    message: MessageBody | None = None
    async for event in events:
        match event:
            case MessageStart():
                message = event.message
            case BlockStart() if message:
                message.content.append(event.content_block)
            case BlockDelta() if message:
                _grow(message.content[event.index], event.delta)
            case MessageDelta() if message:
                message.stop_reason, message.stop_sequence = event.delta.stop_reason, event.delta.stop_sequence
                message.usage = event.usage
    if message is None or message.stop_reason is None:
        raise InferenceFailed("The answer was cut off before its end.")
    return message


def _grow(block: ContentBlock, delta: TextDelta | ThinkingDelta | InputDelta) -> None:
    match block, delta:
        case TextBlock(), TextDelta():
            block.text += delta.text
        case ThinkingBlock(), ThinkingDelta():
            block.thinking += delta.thinking
        case ToolUseBlock(), InputDelta():
            # A call comes whole.
            block.input = json.loads(delta.partial_json)


def _length(prompt: ChatPrompt) -> Tokenize:
    return Tokenize(uuid.uuid4().hex, prompt.text, parse_special=True)
