"""From a request to its answer, the same way for all completions: one `Generate` a choice, their events as one stream.

An endpoint makes a `Generate` of each prompt and says, with its `Shape`, how events look in its chunks and answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from runtime.api.schemas.chat import ChatChunkChoice
from runtime.api.schemas.common import FinishReasonBody, GenerationRequest, UsageBody
from runtime.api.schemas.completions import CompletionChoice
from runtime.api.streaming import StreamedChunk, generate_all, sse_response
from runtime.engine.client import EngineClient
from runtime.engine.messages import Delta, Finished, Generate
from runtime.errors import Cancelled, InferenceFailed

PieceT = TypeVar("PieceT", ChatChunkChoice, CompletionChoice)


@dataclass(frozen=True)
class JoinedChoice:
    """A choice put together from its pieces."""

    index: int
    text: str
    finish_reason: FinishReasonBody


class Shape(Protocol[PieceT]):
    """How one answer looks in the shapes of its endpoint."""

    def begin(self, index: int) -> list[PieceT]:
        """Pieces that come before all others of the choice `index`."""

    def say(self, index: int, delta: Delta) -> PieceT:
        """The next piece of a choice."""

    def end(self, index: int, reason: FinishReasonBody) -> PieceT:
        """The last piece of a choice."""

    def chunk(self, pieces: list[PieceT], usage: UsageBody | None = None) -> StreamedChunk:
        """A server-sent event that carries pieces, or the token counts."""

    def whole(self, choices: list[JoinedChoice], usage: UsageBody) -> BaseModel:
        """The answer in one object."""


async def respond(
    shape: Shape[PieceT], body: GenerationRequest, prompts: Sequence[Generate], client: EngineClient, http: Request
) -> Response:
    """Answer each of `prompts` with as many choices as `body` asks for, streamed if it asks for that.

    Raises:
        DemoticError: a choice failed, before the first event of a stream.
    """
    chunks = _chunks(shape, prompts, body.num_choices, client, http)
    if body.stream:
        return await sse_response(chunks, wants_usage=body.wants_usage, headers=body.response_headers)
    answer = shape.whole(*await _fold(chunks))
    return JSONResponse(answer.model_dump(mode="json"), headers=body.response_headers)


def choices_of(prompts: Sequence[Generate], num_choices: int) -> list[Generate]:
    """Each of `prompts` so many times, in the order of OpenAI's indices, each with an id and a seed of its own."""
    repeated = [prompt for prompt in prompts for _ in range(num_choices)]
    return [
        msgspec.structs.replace(
            prompt,
            request_id=f"{prompt.request_id}-{index}",
            sampling=msgspec.structs.replace(prompt.sampling, seed=_seed(prompt.sampling.seed, index)),
        )
        for index, prompt in enumerate(repeated)
    ]


def _seed(seed: int | None, index: int) -> int | None:
    """The seed of a choice: each has another one, and the same one each time."""
    return None if seed is None else (seed + index) % 2**64


async def _chunks(
    shape: Shape[PieceT], prompts: Sequence[Generate], num_choices: int, client: EngineClient, http: Request
) -> AsyncGenerator[StreamedChunk]:
    """The answer as OpenAI's chunks: pieces of all choices as they come, and last the token counts."""
    begun: set[int] = set()
    finished: dict[int, Finished] = {}
    async with aclosing(generate_all(client, choices_of(prompts, num_choices), http)) as events:
        async for index, event in events:
            if index not in begun:
                begun.add(index)
                for piece in shape.begin(index):
                    yield shape.chunk([piece])
            if isinstance(event, Delta):
                yield shape.chunk([shape.say(index, event)])
            elif event.reason == "cancelled":
                raise Cancelled("The client has gone.")
            else:
                finished[index] = event
                yield shape.chunk([shape.end(index, event.reason)])
    yield shape.chunk([], UsageBody.from_finished([finished[index] for index in sorted(finished)], num_choices))


async def _fold(chunks: AsyncIterator[StreamedChunk]) -> tuple[list[JoinedChoice], UsageBody]:
    """The whole answer, from the very chunks that a streaming client would get."""
    texts: dict[int, list[str]] = {}
    reasons: dict[int, FinishReasonBody] = {}
    usage = None
    async for chunk in chunks:
        usage = chunk.usage
        for piece in chunk.choices:
            texts.setdefault(piece.index, []).append(piece.text)
            if piece.finish_reason is not None:
                reasons[piece.index] = piece.finish_reason
    if usage is None:
        raise InferenceFailed("The answer was cut off before its end.")
    return [JoinedChoice(index, "".join(texts[index]), reasons[index]) for index in sorted(texts)], usage
