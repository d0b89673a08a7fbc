"""`/v1/chat/completions`: answer a conversation."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from fastapi.responses import Response

from runtime.api.choices import respond
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
from runtime.api.schemas.logprobs import ChatLogprobs
from runtime.chat.reasoning import Piece, ReasoningSplit, marks_of
from runtime.engine.messages import Delta, Generate
from runtime.engine.pool import ModelPool

# As much of a prompt's end as a mark and some white space can take.
_MARK_CHARS = 40

router = APIRouter(tags=["completions"])


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses={400: {"model": ErrorBody}})
async def create_chat_completion(body: ChatCompletionRequest, http: Request) -> Response:
    """Answer a conversation."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model, body.adapter) as (model, adapter):
        template = model.card.template
        prompt = template.render(
            [turn.to_message() for turn in body.messages], variables=body.template_variables(template)
        )
        shape = ChatShape(
            f"chatcmpl-{uuid.uuid4().hex}",
            int(time.time()),
            body.model or model.name,
            marks=marks_of(template.source),
            prompt_end=prompt[-_MARK_CHARS:],
        )
        request = Generate(
            request_id=shape.id,
            prompt=prompt,
            sampling=body.sampling(),
            max_tokens=body.max_completion_tokens or body.max_tokens,
            stop=body.stops + template.stop,
            parse_special=True,
            adapter=adapter,
            constraint=body.constraint(),
            logprobs=body.num_logprobs,
        )
        return await respond(shape, body, [request], model.client, http)


@dataclass(frozen=True)
class ChatShape:
    """`runtime.api.choices.Shape` of a chat completion: each choice says its role first.

    Where the model reasons, `marks` enclose its reasoning; `prompt_end` may have the first of them already.
    """

    id: str
    created: int
    model: str
    marks: tuple[str, str] | None = None
    prompt_end: str = ""
    splits: dict[int, ReasoningSplit] = field(default_factory=dict)

    def begin(self, index: int) -> list[ChatChunkChoice]:
        """See `Shape.begin`."""
        if self.marks is not None:
            start, end = self.marks
            self.splits[index] = ReasoningSplit(start, end, is_begun=self.prompt_end.rstrip().endswith(start))
        return [ChatChunkChoice(index=index, delta=ChatDelta(role="assistant", content=""))]

    def say(self, index: int, delta: Delta) -> list[ChatChunkChoice]:
        """See `Shape.say`."""
        split = self.splits.get(index)
        pieces = [Piece("content", delta.text)] if split is None else split.push(delta.text)
        if delta.logprobs and not pieces:
            pieces = [Piece("content", "")]
        chunks = [_chunk_of(index, piece) for piece in pieces]
        if delta.logprobs:
            chunks[0].logprobs = ChatLogprobs.from_tokens(delta.logprobs)
        return chunks

    def end(self, index: int, reason: FinishReasonBody) -> list[ChatChunkChoice]:
        """See `Shape.end`."""
        split = self.splits.get(index)
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
