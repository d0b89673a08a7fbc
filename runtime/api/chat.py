"""`/v1/chat/completions`: answer a conversation."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from runtime.api.choices import JoinedChoice, respond
from runtime.api.schemas.chat import (
    AnswerMessage,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatDelta,
)
from runtime.api.schemas.common import ErrorBody, FinishReasonBody, UsageBody
from runtime.engine.messages import Delta, Generate
from runtime.engine.pool import ModelPool

router = APIRouter(tags=["completions"])


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses={400: {"model": ErrorBody}})
async def create_chat_completion(body: ChatCompletionRequest, http: Request) -> Response:
    """Answer a conversation."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model, body.adapter) as (model, adapter):
        shape = ChatShape(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), body.model or model.name)
        prompt = Generate(
            request_id=shape.id,
            prompt=model.card.template.render([turn.to_message() for turn in body.messages]),
            sampling=body.sampling(),
            max_tokens=body.max_completion_tokens or body.max_tokens,
            stop=body.stops + model.card.template.stop,
            parse_special=True,
            adapter=adapter,
        )
        return await respond(shape, body, [prompt], model.client, http)


@dataclass(frozen=True)
class ChatShape:
    """`runtime.api.choices.Shape` of a chat completion: each choice says its role first."""

    id: str
    created: int
    model: str

    def begin(self, index: int) -> list[ChatChunkChoice]:
        """See `Shape.begin`."""
        return [ChatChunkChoice(index=index, delta=ChatDelta(role="assistant", content=""))]

    def say(self, index: int, delta: Delta) -> ChatChunkChoice:
        """See `Shape.say`."""
        return ChatChunkChoice(index=index, delta=ChatDelta(content=delta.text))

    def end(self, index: int, reason: FinishReasonBody) -> ChatChunkChoice:
        """See `Shape.end`."""
        return ChatChunkChoice(index=index, delta=ChatDelta(), finish_reason=reason)

    def chunk(self, pieces: list[ChatChunkChoice], usage: UsageBody | None = None) -> ChatCompletionChunk:
        """See `Shape.chunk`."""
        return ChatCompletionChunk(id=self.id, created=self.created, model=self.model, choices=pieces, usage=usage)

    def whole(self, choices: list[JoinedChoice], usage: UsageBody) -> ChatCompletion:
        """See `Shape.whole`."""
        answers = [
            ChatChoice(
                index=choice.index, message=AnswerMessage(content=choice.text), finish_reason=choice.finish_reason
            )
            for choice in choices
        ]
        return ChatCompletion(id=self.id, created=self.created, model=self.model, choices=answers, usage=usage)
