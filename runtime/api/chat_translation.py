"""Translators in `/v1/chat/completions`: what the user said last is translated, so that any chat can use them.

The languages are the fields `source` and `target` of the request, or are named in the system message, such as
"Translate from Bulgarian to English", "bg -> en" or "into English".
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import msgspec
import regex
from fastapi import Request

from runtime.api.schemas.chat import ChatCompletionRequest
from runtime.api.translating import Asked, Told, documents_of, translate
from runtime.chat.template import Message
from runtime.engine.messages import Delta, Finished, Timings, Usage
from runtime.errors import UnknownLanguage
from runtime.language.codes import parse
from runtime.language.lock import AUTO
from runtime.model import Model

_NAME = r"(\p{L}[\p{L}\p{M}_-]*(?:\s\p{L}[\p{L}\p{M}_-]*)?)"
_PAIRS = (
    regex.compile(rf"\bfrom\s+{_NAME}\s+(?:in)?to\s+{_NAME}", regex.I),
    regex.compile(rf"{_NAME}\s*(?:->|→|=>|⇒)\s*{_NAME}"),
)
_TARGET = regex.compile(rf"\b(?:in)?to\s+{_NAME}", regex.I)


def wants_translation(model: Model, body: ChatCompletionRequest) -> bool:
    """Whether a conversation is a text to translate: a model does nothing else, or the request names languages."""
    translator = model.card.translator
    return translator is not None and (translator.only_translates or body.target is not None)


async def translate_said(
    model: Model, turns: Sequence[Message], said: str, body: ChatCompletionRequest, http: Request
) -> AsyncGenerator[tuple[int, Delta | Finished]]:
    """The events of a chat's choices: the translations of `said`, sentence by sentence.

    Raises:
        InvalidRequest: the languages cannot be had, or are not named.
    """
    source, target = languages_named(turns)
    asked = Asked(
        source=body.source or source or AUTO,
        target=body.target or target,
        search=body,
        # The default is for talk. A translation is drawn by chance only where that was asked for.
        sampling=msgspec.structs.replace(body.sampling(), temperature=body.temperature or 0.0),
        num_answers=body.num_choices,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        constraint=body.constraint(),
    )
    documents = await documents_of(model, [said], asked)
    return _events(translate(model, documents, asked, http), asked.num_answers)


def languages_named(turns: Sequence[Message]) -> tuple[str | None, str | None]:
    """Source and target that the system messages name; None for what they do not."""
    text = "\n".join(turn.content for turn in turns if turn.role in {"system", "developer"})
    for pattern in _PAIRS:
        for found in pattern.finditer(text):
            source, target = _language(found[1], at_end=True), _language(found[2])
            if source is not None and target is not None:
                return source, target
    for found in _TARGET.finditer(text):
        if (target := _language(found[1])) is not None:
            return None, target
    return None, None


async def _events(told: AsyncGenerator[Told], num_choices: int) -> AsyncGenerator[tuple[int, Delta | Finished]]:
    """Each sentence as a piece of each choice: the best of it, the next best, and so on."""
    started, first = time.perf_counter(), None
    read = written = 0
    async with aclosing(told):
        async for each in told:
            first = first or time.perf_counter()
            read, written = read + each.prompt_tokens, written + each.completion_tokens
            for index in range(num_choices):
                yield index, Delta("", each.texts[min(index, len(each.texts) - 1)][0])
    ended = time.perf_counter()
    timings = Timings(0.0, (first or ended) - started, ended - (first or ended))
    for index in range(num_choices):
        # The tokens of all choices were counted together.
        usage = Usage(read, written if index == 0 else 0)
        yield index, Finished("", "stop", usage, timings)


def _language(words: str, *, at_end: bool = False) -> str | None:
    """The language that one or two words name; of two, one may be of the sentence around it."""
    parts = words.split()
    for name in dict.fromkeys((words, parts[-1] if at_end else parts[0])):
        with suppress(UnknownLanguage):
            parse(name)
            return name
    return None
