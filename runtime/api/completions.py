"""`/v1/completions`: continue a text, or several."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from runtime.api.choices import JoinedChoice, respond
from runtime.api.schemas.common import ErrorBody, FinishReasonBody, UsageBody
from runtime.api.schemas.completions import DEFAULT_MAX_TOKENS, Completion, CompletionChoice, CompletionRequest
from runtime.engine.messages import Delta, Generate
from runtime.engine.pool import ModelPool

router = APIRouter(tags=["completions"])


@router.post("/v1/completions", response_model=Completion, responses={400: {"model": ErrorBody}})
async def create_completion(body: CompletionRequest, http: Request) -> Response:
    """Continue a text, or each of several."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model, body.adapter) as (model, adapter):
        shape = CompletionShape(f"cmpl-{uuid.uuid4().hex}", int(time.time()), body.model or model.name)
        sampling = body.sampling()
        prompts = [
            Generate(
                request_id=shape.id,
                prompt=prompt,
                sampling=sampling,
                max_tokens=body.max_completion_tokens or body.max_tokens or DEFAULT_MAX_TOKENS,
                stop=body.stops,
                adapter=adapter,
            )
            for prompt in body.prompts
        ]
        return await respond(shape, body, prompts, model.client, http)


@dataclass(frozen=True)
class CompletionShape:
    """`runtime.api.choices.Shape` of a text completion: a chunk and the whole have the same shape."""

    id: str
    created: int
    model: str

    def begin(self, index: int) -> list[CompletionChoice]:  # noqa: ARG002  # nothing comes before a text
        """See `Shape.begin`."""
        return []

    def say(self, index: int, delta: Delta) -> CompletionChoice:
        """See `Shape.say`."""
        return CompletionChoice(index=index, text=delta.text, finish_reason=None)

    def end(self, index: int, reason: FinishReasonBody) -> CompletionChoice:
        """See `Shape.end`."""
        return CompletionChoice(index=index, text="", finish_reason=reason)

    def chunk(self, pieces: list[CompletionChoice], usage: UsageBody | None = None) -> Completion:
        """See `Shape.chunk`."""
        return Completion(id=self.id, created=self.created, model=self.model, choices=pieces, usage=usage)

    def whole(self, choices: list[JoinedChoice], usage: UsageBody) -> Completion:
        """See `Shape.whole`."""
        texts = [
            CompletionChoice(index=choice.index, text=choice.text, finish_reason=choice.finish_reason)
            for choice in choices
        ]
        return self.chunk(texts, usage)
