"""`/v1/chat/completions`: OpenAI's body to a prompt, the engine's events to chunks, and their fold."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runtime.api.schemas.chat import (
    AnswerMessage,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatDelta,
)
from runtime.api.schemas.common import ErrorBody, UsageBody
from runtime.api.streaming import generate, sse_response
from runtime.engine.messages import Delta, Generate
from runtime.engine.pool import ModelPool
from runtime.errors import InferenceFailed
from runtime.model import Model

router = APIRouter(tags=["completions"])


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses={400: {"model": ErrorBody}})
async def create_chat_completion(body: ChatCompletionRequest, http: Request) -> Response:
    """Answer a conversation."""
    pool: ModelPool = http.app.state.pool
    model = await pool.get(body.model)
    message = Generate(
        request_id=f"chatcmpl-{uuid.uuid4().hex}",
        prompt=model.card.template.render([turn.to_message() for turn in body.messages]),
        sampling=body.sampling(),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        stop=body.stops + model.card.template.stop,
        parse_special=True,
    )
    chunks = _chunks(model, message, http)
    if body.stream:
        return await sse_response(chunks, wants_usage=body.wants_usage, headers=body.response_headers)
    answer = await _fold(chunks)
    return JSONResponse(answer.model_dump(mode="json"), headers=body.response_headers)


async def _chunks(model: Model, message: Generate, http: Request) -> AsyncIterator[ChatCompletionChunk]:
    """The answer as OpenAI's chunks: the role, the text, the reason it ended, the token counts."""
    created = int(time.time())

    def chunk(*choices: ChatChunkChoice, usage: UsageBody | None = None) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=message.request_id, created=created, model=model.name, choices=list(choices), usage=usage
        )

    is_first = True
    async for event in generate(model.client, message, http):
        if is_first:
            yield chunk(ChatChunkChoice(delta=ChatDelta(role="assistant", content="")))
            is_first = False
        if isinstance(event, Delta):
            yield chunk(ChatChunkChoice(delta=ChatDelta(content=event.text)))
        elif event.reason != "cancelled":
            yield chunk(ChatChunkChoice(delta=ChatDelta(), finish_reason=event.reason))
            yield chunk(usage=UsageBody.from_finished(event))


async def _fold(chunks: AsyncIterator[ChatCompletionChunk]) -> ChatCompletion:
    """The whole answer, from the very chunks a streaming client would get."""
    texts: list[str] = []
    reason, usage, last = None, None, None
    async for chunk in chunks:
        last = chunk
        usage = chunk.usage
        for choice in chunk.choices:
            texts.append(choice.delta.content or "")
            reason = choice.finish_reason or reason
    if last is None or reason is None or usage is None:
        raise InferenceFailed("The answer was cut off before its end.")
    return ChatCompletion(
        id=last.id,
        created=last.created,
        model=last.model,
        choices=[ChatChoice(message=AnswerMessage(content="".join(texts)), finish_reason=reason)],
        usage=usage,
    )
