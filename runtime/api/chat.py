"""`/v1/chat/completions`: answer a conversation."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from runtime.api.chat_translation import translate_said, wants_translation
from runtime.api.choices import respond
from runtime.api.defaults import filled
from runtime.api.language import user_language
from runtime.api.routing import Routed, route
from runtime.api.schemas.chat import (
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatDelta,
)
from runtime.api.schemas.common import FinishReasonBody, UsageBody
from runtime.api.schemas.logprobs import ChatLogprobs
from runtime.api.schemas.tools import ToolCallDelta
from runtime.api.tool_runs import respond_with_tools, wants_tool_runs
from runtime.chat.answer import AnswerReader
from runtime.chat.prompt import ChatPrompt
from runtime.chat.reasoning import Piece
from runtime.chat.said import last_said, said_by_user
from runtime.chat.template import Message
from runtime.chat.tools.call import ToolCall
from runtime.engine.messages import Delta
from runtime.engine.pool import ModelPool
from runtime.errors import InvalidRequest
from runtime.model import Model

router = APIRouter(tags=["completions"])


@router.post("/v1/chat/completions", response_model=ChatCompletion)
async def create_chat_completion(body: ChatCompletionRequest, http: Request) -> Response:
    """Answer a conversation."""
    if wants_tool_runs(http):
        return await respond_with_tools(body, http)
    pool: ModelPool = http.app.state.pool
    turns, tools = body.conversation(), body.tool_use().normalising(body.normalize)
    said = last_said(turns)
    routed = await route(body.model, body, said_by_user(turns), http)
    async with pool.hold(routed.model, body.adapter) as (model, adapter):
        if wants_translation(model, body):
            return await _respond_translated(body, turns, said, model, routed, http)
        if body.source or body.target:
            raise InvalidRequest(f"{model.name} does not translate.", remedy="Leave out 'source' and 'target'.")
        body = filled(body, model.card)
        template = model.card.template
        language = await user_language(body, said) if tools.told else None
        variables = body.template_variables(template)
        prompt = ChatPrompt.render(template, turns, variables, tools, language, opening=body.opening)
        name = routed.model or model.name
        shape = ChatShape(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), name, prompt, said)
        request = prompt.to_request(
            shape.id,
            body.sampling(),
            body.max_completion_tokens or body.max_tokens,
            stop=body.stops,
            adapter=adapter,
            constraint=body.constraint(),
            logprobs=body.num_logprobs,
            lock=body.lock(said, prompt.exempt),
            max_characters=body.max_characters,
        )
        request = model.card.as_trained(msgspec.structs.replace(request, beams=body.beams), body.asked_rules)
        return await respond(shape, body, [request], model.client, http, headers=routed.headers)


async def _respond_translated(
    body: ChatCompletionRequest, turns: Sequence[Message], said: str, model: Model, routed: Routed, http: Request
) -> Response:
    """The translation of what the user said last, in the shape of an answer."""
    prompt = ChatPrompt(said)
    shape = ChatShape(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), routed.model or model.name, prompt, said)
    events = await translate_said(model, turns, said, body, http)
    return await respond(shape, body, [], model.client, http, headers=routed.headers, events=events)


@dataclass(frozen=True)
class ChatShape:
    """`runtime.api.choices.Shape` of a chat completion: each choice says its role first."""

    id: str
    created: int
    model: str
    prompt: ChatPrompt
    said: str
    readers: dict[int, AnswerReader] = field(default_factory=dict)
    num_calls: Counter[int] = field(default_factory=Counter)

    def begin(self, index: int) -> list[ChatChunkChoice]:
        """See `Shape.begin`."""
        self.readers[index] = self.prompt.reader()
        return [ChatChunkChoice(index=index, delta=ChatDelta(role="assistant", content=""))]

    def say(self, index: int, delta: Delta) -> list[ChatChunkChoice]:
        """See `Shape.say`."""
        chunks = self._tell(index, self.readers[index].push(delta.text))
        if delta.logprobs:
            chunks = chunks or [ChatChunkChoice(index=index, delta=ChatDelta(content=""))]
            chunks[0].logprobs = ChatLogprobs.from_tokens(delta.logprobs)
        return chunks

    def end(self, index: int, reason: FinishReasonBody) -> list[ChatChunkChoice]:
        """See `Shape.end`."""
        rest = self._tell(index, self.readers[index].finish())
        has_called = reason == "stop" and self.num_calls[index] > 0
        last = ChatChunkChoice(index=index, delta=ChatDelta(), finish_reason="tool_calls" if has_called else reason)
        return [*rest, last]

    def _tell(self, index: int, found: Sequence[Piece | ToolCall]) -> list[ChatChunkChoice]:
        """The pieces and calls of a choice as chunks."""
        deltas: list[ChatDelta] = []
        for each in found:
            if isinstance(each, ToolCall):
                told = ToolCallDelta.of_call(self.num_calls[index], each)
                deltas += [ChatDelta(tool_calls=[delta]) for delta in told]
                self.num_calls[index] += 1
            elif each.kind == "reasoning":
                deltas.append(ChatDelta(reasoning_content=each.text))
            else:
                deltas.append(ChatDelta(content=each.text))
        return [ChatChunkChoice(index=index, delta=delta) for delta in deltas]

    def content_of(self, text: str) -> str:
        """See `Shape.content_of`."""
        return self.prompt.content_of(text)

    def chunk(self, pieces: list[ChatChunkChoice], usage: UsageBody | None = None) -> ChatCompletionChunk:
        """See `Shape.chunk`."""
        return ChatCompletionChunk(id=self.id, created=self.created, model=self.model, choices=pieces, usage=usage)

    def whole(self, choices: list[list[ChatChunkChoice]], usage: UsageBody) -> ChatCompletion:
        """See `Shape.whole`."""
        answers = [ChatChoice.from_pieces(pieces) for pieces in choices]
        return ChatCompletion(id=self.id, created=self.created, model=self.model, choices=answers, usage=usage)
