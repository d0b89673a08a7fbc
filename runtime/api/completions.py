"""`/v1/completions`: continue a text."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runtime.api.schemas.common import ErrorBody, UsageBody
from runtime.api.schemas.completions import DEFAULT_MAX_TOKENS, Completion, CompletionChoice, CompletionRequest
from runtime.api.streaming import generate, sse_response
from runtime.engine.messages import Delta, Generate
from runtime.engine.pool import ModelPool
from runtime.errors import InferenceFailed
from runtime.model import Model

router = APIRouter(tags=["completions"])


@router.post("/v1/completions", response_model=Completion, responses={400: {"model": ErrorBody}})
async def create_completion(body: CompletionRequest, http: Request) -> Response:
    """Continue a text."""
    pool: ModelPool = http.app.state.pool
    model = await pool.get(body.model)
    message = Generate(
        request_id=f"cmpl-{uuid.uuid4().hex}",
        prompt=body.prompt if isinstance(body.prompt, str) else tuple(body.prompt),
        sampling=body.sampling(),
        max_tokens=body.max_completion_tokens or body.max_tokens or DEFAULT_MAX_TOKENS,
        stop=body.stops,
    )
    chunks = _chunks(model, message, http)
    if body.stream:
        return await sse_response(chunks, wants_usage=body.wants_usage, headers=body.response_headers)
    text = await _fold(chunks)
    return JSONResponse(text.model_dump(mode="json"), headers=body.response_headers)


async def _chunks(model: Model, message: Generate, http: Request) -> AsyncIterator[Completion]:
    created = int(time.time())

    def chunk(*choices: CompletionChoice, usage: UsageBody | None = None) -> Completion:
        return Completion(id=message.request_id, created=created, model=model.name, choices=list(choices), usage=usage)

    async for event in generate(model.client, message, http):
        if isinstance(event, Delta):
            yield chunk(CompletionChoice(text=event.text, finish_reason=None))
        elif event.reason != "cancelled":
            yield chunk(CompletionChoice(text="", finish_reason=event.reason))
            yield chunk(usage=UsageBody.from_finished(event))


async def _fold(chunks: AsyncIterator[Completion]) -> Completion:
    """The whole text, from the very chunks a streaming client would get."""
    texts: list[str] = []
    reason, last = None, None
    async for chunk in chunks:
        last = chunk
        for choice in chunk.choices:
            texts.append(choice.text)
            reason = choice.finish_reason or reason
    if last is None or reason is None or last.usage is None:
        raise InferenceFailed("The text was cut off before its end.")
    return last.model_copy(update={"choices": [CompletionChoice(text="".join(texts), finish_reason=reason)]})
