"""From a request to its answer, the same way for all completions: one `Generate` a choice, their events as one stream.

An endpoint makes a `Generate` of each prompt and says, with its `Shape`, how events look in its chunks and answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

import msgspec
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from runtime.api.language import text_usage
from runtime.api.schemas.chat import ChatChunkChoice
from runtime.api.schemas.common import FinishReasonBody, GenerationRequest, UsageBody
from runtime.api.schemas.completions import CompletionChoice
from runtime.api.searching import search_all
from runtime.api.streaming import StreamedChunk, generate_all, sse_response
from runtime.engine.client import EngineClient
from runtime.engine.messages import Delta, Finished, Generate
from runtime.errors import Cancelled, InferenceFailed

Events = AsyncGenerator[tuple[int, Delta | Finished]]
PieceT = TypeVar("PieceT", ChatChunkChoice, CompletionChoice)


class Shape(Protocol[PieceT]):
    """How one answer looks in the shapes of its endpoint; `said` is the text whose language it answers in."""

    @property
    def said(self) -> str:
        """What is answered."""

    def content_of(self, text: str) -> str:
        """What of the whole text of a choice is its content."""

    def begin(self, index: int) -> list[PieceT]:
        """Pieces that come before all others of the choice `index`."""

    def say(self, index: int, delta: Delta) -> list[PieceT]:
        """The next pieces of a choice; none where the text is held back."""

    def end(self, index: int, reason: FinishReasonBody) -> list[PieceT]:
        """The last pieces of a choice; the last one has the reason."""

    def chunk(self, pieces: list[PieceT], usage: UsageBody | None = None) -> StreamedChunk:
        """A server-sent event that carries pieces, or the token counts."""

    def whole(self, choices: list[list[PieceT]], usage: UsageBody) -> BaseModel:
        """The answer in one object, from the pieces of each choice."""


async def respond(
    shape: Shape[PieceT],
    body: GenerationRequest,
    prompts: Sequence[Generate],
    client: EngineClient,
    http: Request,
    *,
    headers: dict[str, str],
    events: Events | None = None,
) -> Response:
    """Answer each of `prompts` with as many choices as `body` asks for, streamed if it asks for that.

    `headers` are told beside those of every answer. `events` are those of the choices where they are not just what the
    engine answers to each prompt.

    Raises:
        DemoticError: a choice failed, before the first event of a stream.
    """
    if events is None:
        events = _events(prompts, body, client, http)
    chunks = _chunks(shape, events, body, client)
    headers = body.response_headers | headers
    if body.stream:
        return await sse_response(chunks, wants_usage=body.wants_usage, headers=headers)
    answer = shape.whole(*await _fold(chunks))
    return JSONResponse(answer.model_dump(mode="json"), headers=headers)


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


def _events(prompts: Sequence[Generate], body: GenerationRequest, client: EngineClient, http: Request) -> Events:
    if body.beams is not None:
        return search_all(client, choices_of(prompts, 1), body.num_choices, http)
    return generate_all(client, choices_of(prompts, body.num_written), http)


async def _chunks(
    shape: Shape[PieceT], events: Events, body: GenerationRequest, client: EngineClient
) -> AsyncGenerator[StreamedChunk]:
    """The answer as OpenAI's chunks: pieces of all choices as they come, and last the token counts."""
    texts: dict[int, str] = {}
    finished: dict[int, Finished] = {}
    num_choices = body.num_written
    async with aclosing(events):
        async for index, event in events:
            if index not in texts:
                texts[index] = ""
                for piece in shape.begin(index):
                    yield shape.chunk([piece])
            if isinstance(event, Delta):
                texts[index] += event.text
                for piece in shape.say(index, event):
                    yield shape.chunk([piece])
            elif event.reason == "cancelled":
                raise Cancelled("The client has gone.")
            else:
                finished[index] = event
                for piece in shape.end(index, event.reason):
                    yield shape.chunk([piece])
    endings = [finished[index] for index in sorted(finished)]
    usage = UsageBody.from_finished(endings, num_choices)
    if body.wants_usage or not body.stream:
        answers = [(text, shape.content_of(text)) for _, text in sorted(texts.items())]
        usage.demotic = await text_usage(shape.said, answers, endings, client.context_length)
    yield shape.chunk([], usage)


async def _fold(chunks: AsyncIterator[StreamedChunk]) -> tuple[list[list[Any]], UsageBody]:
    """The pieces of each choice, in the order of their indices, from the very chunks that a streaming client gets."""
    pieces: dict[int, list[Any]] = {}
    usage = None
    async for chunk in chunks:
        usage = chunk.usage
        for piece in chunk.choices:
            pieces.setdefault(piece.index, []).append(piece)
    if usage is None:
        raise InferenceFailed("The answer was cut off before its end.")
    return [pieces[index] for index in sorted(pieces)], usage
