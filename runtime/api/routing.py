"""`"model": "auto"`: the model, or the adapter, that the conversation's language asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Request

from runtime.api.schemas.language import LanguageFields
from runtime.engine.pool import ModelPool
from runtime.errors import InvalidRequest
from runtime.language.lock import AUTO
from runtime.language.route import Routes, conversation_language


@dataclass(frozen=True)
class Routed:
    """The model to ask for, and the headers that tell it."""

    model: str | None
    headers: dict[str, str] = field(default_factory=dict)


async def route(model: str | None, fields: LanguageFields, said: Sequence[str], http: Request) -> Routed:
    """What `model` stands for in a conversation where the user `said` this; itself, unless it is "auto" or "BASE:auto".

    Raises:
        InvalidRequest: it is, and the server has no table of models by language.
        UnknownLanguage: the request names a language that there is none of.
    """
    pool: ModelPool = http.app.state.pool
    base, _, last = (model or "").rpartition(":")
    if model is None or last != AUTO or model in pool.names or (base and base not in pool.names):
        return Routed(model)
    routes: Routes | None = http.app.state.routes
    if routes is None:
        raise InvalidRequest(
            f"'{model}' chooses a model by the language, and this server has no table for that.",
            remedy=f"Start it with --routes FILE, or name one of {', '.join(pool.names)}.",
            param="model",
        )
    language = fields.named_language or await asyncio.to_thread(conversation_language, said)
    chosen = routes.choose(language, base or None)
    # Headers take no other characters.
    headers = {"x-demotic-model": ascii(chosen.target)[1:-1]}
    if chosen.language is not None:
        headers["x-demotic-language"] = str(chosen.language)
    return Routed(chosen.target, headers)
