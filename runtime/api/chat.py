"""`/v1/chat/completions`: answer a conversation."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from fastapi.responses import Response

from runtime.api.choices import respond
from runtime.api.conversation import ChatPrompt
from runtime.api.schemas.chat import (
    AnswerMessage,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatDelta,
)
from runtime.api.schemas.common import FinishReasonBody, UsageBody
from runtime.api.schemas.logprobs import ChatLogprobs
from runtime.chat.reasoning import Piece, ReasoningSplit
from runtime.engine.messages import Delta
from runtime.engine.pool import ModelPool

router = APIRouter(tags=["completions"])


@router.post("/v1/chat/completions", response_model=ChatCompletion)
async def create_chat_completion(body: ChatCompletionRequest, http: Request) -> Response:
    """Answer a conversation."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model, body.adapter) as (model, adapter):
        template = model.card.template
        prompt = ChatPrompt.render(
            template, [turn.to_message() for turn in body.messages], body.template_variables(template)
        )
        shape = ChatShape(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), body.model or model.name, prompt)
        request = prompt.to_request(
            shape.id,
            body.sampling(),
            body.max_completion_tokens or body.max_tokens,
            stop=body.stops,
            adapter=adapter,
            constraint=body.constraint(),
            logprobs=body.num_logprobs,
        )
        return await respond(shape, body, [request], model.client, http)


@dataclass(frozen=True)
class ChatShape:
    """`runtime.api.choices.Shape` of a chat completion: each choice says its role first."""

    id: str
    created: int
    model: str
    prompt: ChatPrompt
    splits: dict[int, ReasoningSplit | None] = field(default_factory=dict)

    def begin(self, index: int) -> list[ChatChunkChoice]:
        """See `Shape.begin`."""
        self.splits[index] = self.prompt.split()
        return [ChatChunkChoice(index=index, delta=ChatDelta(role="assistant", content=""))]

    def say(self, index: int, delta: Delta) -> list[ChatChunkChoice]:
        """See `Shape.say`."""
        split = self.splits[index]
        pieces = [Piece("content", delta.text)] if split is None else split.push(delta.text)
        if delta.logprobs and not pieces:
            pieces = [Piece("content", "")]
        chunks = [_chunk_of(index, piece) for piece in pieces]
        if delta.logprobs:
            chunks[0].logprobs = ChatLogprobs.from_tokens(delta.logprobs)
        return chunks

    def end(self, index: int, reason: FinishReasonBody) -> list[ChatChunkChoice]:
        """See `Shape.end`."""
        split = self.splits[index]
        rest = [] if split is None else split.finish()
        last = ChatChunkChoice(index=index, delta=ChatDelta(), finish_reason=reason)
        return [*(_chunk_of(index, piece) for piece in rest), last]

    def chunk(self, pieces: list[ChatChunkChoice], usage: UsageBody | None = None) -> ChatCompletionChunk:
        """See `Shape.chunk`."""
        return ChatCompletionChunk(id=self.id, created=self.created, model=self.model, choices=pieces, usage=usage)

    def whole(self, choices: list[list[ChatChunkChoice]], usage: UsageBody) -> ChatCompletion:
        """See `Shape.whole`."""
        answers = [_join(pieces) for pieces in choices]
        return ChatCompletion(id=self.id, created=self.created, model=self.model, choices=answers, usage=usage)


def _chunk_of(index: int, piece: Piece) -> ChatChunkChoice:
    is_content = piece.kind == "content"
    delta = ChatDelta(content=piece.text) if is_content else ChatDelta(reasoning_content=piece.text)
    return ChatChunkChoice(index=index, delta=delta)


def _join(pieces: list[ChatChunkChoice]) -> ChatChoice:
    reasoning = "".join(piece.delta.reasoning_content or "" for piece in pieces)
    tokens = [token for piece in pieces if piece.logprobs is not None for token in piece.logprobs.content]
    reason = pieces[-1].finish_reason
    assert reason is not None  # noqa: S101  # the last piece has it
    return ChatChoice(
        index=pieces[0].index,
        message=AnswerMessage(
            content="".join(piece.delta.content or "" for piece in pieces), reasoning_content=reasoning or None
        ),
        logprobs=ChatLogprobs(content=tokens) if tokens else None,
        finish_reason=reason,
    )
