"""`/tokenize`, `/detokenize`, and how many tokens the prompt of a chat has."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request, Response

from runtime.api.events import only_event, tokens_of
from runtime.api.language import user_language
from runtime.api.routing import route
from runtime.api.schemas.chat import ChatCompletionRequest
from runtime.api.schemas.tokens import (
    DetokenizeAnswer,
    DetokenizeRequest,
    TokenCount,
    TokenizeAnswer,
    TokenizeRequest,
)
from runtime.chat.said import last_said, said_by_user
from runtime.engine.client import EngineClient
from runtime.engine.messages import Describe, Detokenize, Pieces, Text, Tokenize
from runtime.engine.pool import ModelPool

_JSON = "application/json"
# Tokens described at a time: 10 ms or so, in which the model's other answers wait.
_MAX_DESCRIBED = 2048

router = APIRouter(tags=["tokens"])


@router.post("/tokenize", response_model=TokenizeAnswer)
async def tokenize(body: TokenizeRequest, http: Request) -> Response:
    """The token ids of a text."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model) as (model, _):
        tokens = await tokens_of(model.client, Tokenize(uuid.uuid4().hex, body.text, body.add_special))
        if not body.with_pieces:
            return Response(msgspec.json.encode({"tokens": tokens}), media_type=_JSON)
        pieces = await _pieces(model.client, sorted(set(tokens)))
    # A long text has so many pieces that other requests would wait for them, were they written in the event loop.
    return Response(await asyncio.to_thread(_written, tokens, pieces), media_type=_JSON)


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, http: Request) -> DetokenizeAnswer:
    """The text that token ids stand for; control tokens stand for none."""
    pool: ModelPool = http.app.state.pool
    async with pool.hold(body.model) as (model, _):
        answer = await only_event(model.client, Detokenize(uuid.uuid4().hex, tuple(body.tokens)))
    assert isinstance(answer, Text)  # noqa: S101  # the only other answer to `Detokenize`
    return DetokenizeAnswer(text=answer.text)


@router.post("/v1/chat/completions/tokens")
async def count_chat_tokens(body: ChatCompletionRequest, http: Request, response: Response) -> TokenCount:
    """How many tokens the prompt of a chat request has; nothing is generated."""
    pool: ModelPool = http.app.state.pool
    turns, tools = body.conversation(), body.tool_use().told
    routed = await route(body.model, body, said_by_user(turns), http)
    async with pool.hold(routed.model, body.adapter) as (model, _):
        template = model.card.template
        language = await user_language(body, last_said(turns)) if tools else None
        variables = body.template_variables(template)
        prompt = template.render(turns, opening=body.opening, variables=variables, tools=tools, language=language)
        tokens = await tokens_of(model.client, Tokenize(uuid.uuid4().hex, prompt, parse_special=True))
        response.headers.update(body.response_headers)
        return TokenCount(prompt_tokens=len(tokens), context_length=model.client.context_length)


async def _pieces(client: EngineClient, tokens: Sequence[int]) -> dict[int, bytes]:
    """What each of `tokens` stands for, as the JSON of a `PieceBody`."""
    written: dict[int, bytes] = {}
    for start in range(0, len(tokens), _MAX_DESCRIBED):
        some = tuple(tokens[start : start + _MAX_DESCRIBED])
        answer = await only_event(client, Describe(uuid.uuid4().hex, some))
        assert isinstance(answer, Pieces)  # noqa: S101  # the only other answer to `Describe`
        for token, piece in zip(some, answer.pieces, strict=True):
            written[token] = msgspec.json.encode({"id": token, "text": piece.text, "bytes": list(piece.data)})
    return written


def _written(tokens: Sequence[int], pieces: dict[int, bytes]) -> bytes:
    """A `TokenizeAnswer` as JSON."""
    return b'{"tokens":%b,"pieces":[%b]}' % (
        msgspec.json.encode(tokens),
        b",".join([pieces[token] for token in tokens]),
    )
