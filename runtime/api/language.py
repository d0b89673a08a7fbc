"""The languages of a request and of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import regex

from runtime.api.schemas.language import LanguageFields, TextUsage
from runtime.engine.messages import Finished
from runtime.language.detect import detect

_GRAPHEMES = regex.compile(r"\X")


async def user_language(fields: LanguageFields, said: str) -> str | None:
    """The language that the request names, or else the one that `said` is in; None where that is not sure.

    Raises:
        UnknownLanguage: it names none that there is.
    """
    named = fields.named_language
    if named is not None:
        return str(named)
    found = await asyncio.to_thread(detect, said)
    return str(found.language) if found.is_confident else None


async def text_usage(
    said: str, answers: Sequence[tuple[str, str]], finished: Sequence[Finished], context_length: int
) -> TextUsage:
    """What to tell of the choices that answer `said`: each its whole text and what of that is its content."""
    return await asyncio.to_thread(_measure, said, answers, finished, context_length)


def _measure(
    said: str, answers: Sequence[tuple[str, str]], finished: Sequence[Finished], context_length: int
) -> TextUsage:
    texts = [text for text, _ in answers]
    characters = sum(map(len, texts))
    usages = [choice.usage for choice in finished]
    tokens = sum(usage.completion_tokens for usage in usages)
    asked, answered = detect(said).language, detect("\n".join(content for _, content in answers)).language
    longest = max((usage.context_tokens for usage in usages), default=0)
    return TextUsage(
        characters=characters,
        graphemes=sum(len(_GRAPHEMES.findall(text)) for text in texts),
        characters_per_token=round(characters / tokens, 3) if tokens else None,
        prompt_language=None if asked is None else str(asked),
        answer_language=None if answered is None else str(answered),
        blocked_tokens=sum(usage.blocked_tokens for usage in usages),
        context_left=max(0, context_length - longest),
    )
