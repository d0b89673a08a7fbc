"""`/tokenize`, `/detokenize`, and how many tokens the prompt of a chat has."""

from __future__ import annotations

import asyncio
import uuid

import msgspec
from fastapi import APIRouter, Request, Response

from runtime.api.language import last_said, said_by_user, user_language
from runtime.api.routing import route
from runtime.api.schemas.chat import ChatCompletionRequest
from runtime.api.schemas.common import ErrorBody
from runtime.api.schemas.tokens import (
    DetokenizeAnswer,
    DetokenizeRequest,
    TokenCount,
    TokenizeAnswer,
    TokenizeRequest,
)
from runtime.engine.client import EngineClient
from runtime.engine.messages import Detokenize, Event, Failed, Text, Tokenize, Tokens
from runtime.engine.pool import ModelPool
from runtime.model import Model

_JSON = "application/json"

router = APIRouter(tags=["tokens"], responses={400: {"model": ErrorBody}})


@router.post("/tokenize", response_model=TokenizeAnswer)
async def tokenize(body: TokenizeRequest, http: Request) -> Response:
    """The token ids of a text."""
    model = await _model(body.model, http)
    message = Tokenize(uuid.uuid4().hex, body.text, body.add_special, with_pieces=body.with_pieces)
    answer = await _tokens(model.client, message)
    # A long text has so many pieces that other requests would wait for them, were they written in the event loop.
    return Response(await asyncio.to_thread(_written, answer, with_pieces=body.with_pieces), media_type=_JSON)


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, http: Request) -> DetokenizeAnswer:
    """The text that token ids stand for; control tokens stand for none."""
    model = await _model(body.model, http)
    answer = await _ask(model.client, Detokenize(uuid.uuid4().hex, tuple(body.tokens)))
    assert isinstance(answer, Text)  # noqa: S101  # the only other answer to `Detokenize`
    return DetokenizeAnswer(text=answer.text)


@router.post("/v1/chat/completions/tokens")
async def count_chat_tokens(body: ChatCompletionRequest, http: Request, response: Response) -> TokenCount:
    """How many tokens the prompt of a chat request has; nothing is generated."""
    turns, tools = body.conversation(), body.tool_use().told
    model = await _model((await route(body.model, body, said_by_user(turns), http)).model, http)
    template = model.card.template
    language = await user_language(body, last_said(turns)) if tools else None
    prompt = template.render(turns, variables=body.template_variables(template), tools=tools, language=language)
    answer = await _tokens(model.client, Tokenize(uuid.uuid4().hex, prompt, parse_special=True))
    response.headers.update(body.response_headers)
    return TokenCount(prompt_tokens=len(answer.tokens), context_length=model.client.context_length)


def _written(answer: Tokens, *, with_pieces: bool) -> bytes:
    """A `TokenizeAnswer` as JSON."""
    if not with_pieces:
        return msgspec.json.encode({"tokens": answer.tokens})
    pieces = [
        {"id": token, "text": piece.text, "bytes": list(piece.data)}
        for token, piece in zip(answer.tokens, answer.pieces, strict=True)
    ]
    return msgspec.json.encode({"tokens": answer.tokens, "pieces": pieces})


async def _model(name: str | None, http: Request) -> Model:
    """The model of a request; its adapters have its tokens."""
    pool: ModelPool = http.app.state.pool
    return await pool.get(None if name is None else pool.split(name)[0])


async def _tokens(client: EngineClient, request: Tokenize) -> Tokens:
    answer = await _ask(client, request)
    assert isinstance(answer, Tokens)  # noqa: S101  # the only other answer to `Tokenize`
    return answer


async def _ask(client: EngineClient, request: Tokenize | Detokenize) -> Event:
    """The only event of a request; a failure is raised."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Event] = loop.create_future()

    def settle(event: Event) -> None:
        if not answered.done():
            answered.set_result(event)

    def deliver(event: Event) -> None:
        # The loop may be closed already when the program ends in the middle of an answer.
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, event)

    client.submit(request, deliver)
    event = await answered
    if isinstance(event, Failed):
        raise event.error
    return event
