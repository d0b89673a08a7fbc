"""`/v1/completions`: continue a text, or several."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from runtime.api.choices import respond
from runtime.api.defaults import filled
from runtime.api.routing import route
from runtime.api.schemas.common import FinishReasonBody, UsageBody
from runtime.api.schemas.completions import DEFAULT_MAX_TOKENS, Completion, CompletionChoice, CompletionRequest
from runtime.api.schemas.logprobs import CompletionLogprobs, CompletionLogprobsWriter
from runtime.engine.messages import Delta, Generate, TokenLogprob
from runtime.engine.pool import ModelPool

router = APIRouter(tags=["completions"])


@router.post("/v1/completions", response_model=Completion)
async def create_completion(body: CompletionRequest, http: Request) -> Response:
    """Continue a text, or each of several."""
    pool: ModelPool = http.app.state.pool
    said = [prompt if isinstance(prompt, str) else "" for prompt in body.prompts]
    routed = await route(body.model, body, said, http)
    async with pool.hold(routed.model, body.adapter) as (model, adapter):
        body = filled(body, model.card)
        shape = CompletionShape(f"cmpl-{uuid.uuid4().hex}", int(time.time()), routed.model or model.name, body)
        max_tokens = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
        request = Generate(
            request_id=shape.id,
            prompt="",
            sampling=body.sampling(),
            max_tokens=DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens,
            stop=body.stops,
            adapter=adapter,
            constraint=body.constraint(),
            logprobs=body.num_logprobs,
            max_characters=body.max_characters,
            beams=body.beams,
        )
        request = model.card.as_trained(request, body.asked_rules)
        replace = msgspec.structs.replace
        if body.suffix and isinstance(body.prompt, str):
            infill = model.card.infill(body.prompt, body.suffix)
            prompts = [replace(request, prompt=infill, parse_special=True, lock=body.lock(body.prompt))]
        else:
            prompts = [
                replace(request, prompt=prompt, prompt_logprobs=body.tells_prompt(prompt), lock=body.lock(text))
                for prompt, text in zip(body.prompts, said, strict=True)
            ]
        return await respond(shape, body, prompts, model.client, http, headers=routed.headers)


@dataclass(frozen=True)
class CompletionShape:
    """`runtime.api.choices.Shape` of a text completion: a chunk and the whole have the same shape."""

    id: str
    created: int
    model: str
    body: CompletionRequest
    writers: dict[int, CompletionLogprobsWriter] = field(default_factory=dict)

    def begin(self, index: int) -> list[CompletionChoice]:
        """See `Shape.begin`: a prompt that is text is echoed as it was sent."""
        self.writers[index] = CompletionLogprobsWriter()
        prompt = self._prompt(index)
        return [CompletionChoice(index=index, text=prompt)] if self.body.echo and isinstance(prompt, str) else []

    def say(self, index: int, delta: Delta) -> list[CompletionChoice]:
        """See `Shape.say`: a prompt of token ids is echoed as the engine tells what they are."""
        text, tokens = delta.text, delta.logprobs
        prompt = self._prompt(index)
        if delta.is_prompt and isinstance(prompt, str) and not _is_beginning(tokens, prompt):
            tokens = tokens[1:]
        if (
            delta.is_prompt
            and isinstance(prompt, str)
            and self.writers[index].is_new
            and _has_added_space(tokens, prompt)
        ):
            self.writers[index].skip_added_space()
        logprobs, told = self.writers[index].write(tokens)
        if delta.is_prompt and not isinstance(prompt, str):
            text = told
        if delta.found is not None:
            return [CompletionChoice(index=index, text=text, score=delta.found.score)]
        wants = self.body.num_logprobs is not None and tokens
        return [CompletionChoice(index=index, text=text, logprobs=logprobs if wants else None)] if text or wants else []

    def end(self, index: int, reason: FinishReasonBody) -> list[CompletionChoice]:
        """See `Shape.end`."""
        return [CompletionChoice(index=index, text="", finish_reason=reason)]

    @property
    def said(self) -> str:
        """See `Shape.said`: the prompts that are text."""
        return "\n".join(prompt for prompt in self.body.prompts if isinstance(prompt, str))

    def content_of(self, text: str) -> str:
        """See `Shape.content_of`: all of it."""
        return text

    def chunk(self, pieces: list[CompletionChoice], usage: UsageBody | None = None) -> Completion:
        """See `Shape.chunk`."""
        return Completion(id=self.id, created=self.created, model=self.model, choices=pieces, usage=usage)

    def whole(self, choices: list[list[CompletionChoice]], usage: UsageBody) -> Completion:
        """See `Shape.whole`: where more were written than are wanted, the likeliest of each prompt."""
        texts = [_join(pieces) for pieces in choices]
        written, wanted = self.body.num_written, self.body.num_choices
        best: list[CompletionChoice] = []
        for first in range(0, len(texts), written):
            group = texts[first : first + written]
            best += sorted(group, key=_mean_logprob, reverse=True)[:wanted] if written > wanted else group
        for index, choice in enumerate(best):
            choice.index = index
            if self.body.logprobs is None:
                choice.logprobs = None
        return self.chunk(best, usage)

    def _prompt(self, index: int) -> str | tuple[int, ...]:
        return self.body.prompts[index // self.body.num_written]


def _is_beginning(tokens: Sequence[TokenLogprob], prompt: str) -> bool:
    """Whether the first token is of the text, and not what the model wants before every text."""
    if not tokens or tokens[0].logprob is not None:
        return True
    return f" {prompt}".encode().startswith(tokens[0].data) or prompt.encode().startswith(tokens[0].data)


def _has_added_space(tokens: Sequence[TokenLogprob], prompt: str) -> bool:
    return bool(tokens) and tokens[0].data.startswith(b" ") and not prompt.startswith(" ")


def _join(pieces: list[CompletionChoice]) -> CompletionChoice:
    told = [piece.logprobs for piece in pieces if piece.logprobs is not None]
    return CompletionChoice(
        index=pieces[0].index,
        text="".join(piece.text for piece in pieces),
        score=next((piece.score for piece in pieces if piece.score is not None), None),
        logprobs=CompletionLogprobs.joined(told) if told else None,
        finish_reason=pieces[-1].finish_reason,
    )


def _mean_logprob(choice: CompletionChoice) -> float:
    known = [] if choice.logprobs is None else [value for value in choice.logprobs.token_logprobs if value is not None]
    return sum(known) / len(known) if known else 0.0
