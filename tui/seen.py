"""What is known of the model that answers and of how full its context is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runtime.chat.said import language_of
from runtime.chat.template import Message
from tui.events import AnswerFinished
from tui.shapes import Model

# Of text as publishers count it: 30 lines of 60 characters.
PAGE_CHARACTERS = 1800


async def language_said(text: str, turns: Sequence[AnswerFinished]) -> str | None:
    """The language of what the person said, where the endpoint tells none of the answer."""
    if not turns or turns[-1].text is not None:
        return None
    return await asyncio.to_thread(language_of, [Message("user", text)])


@dataclass(frozen=True)
class Seen:
    """What is not known is None or empty. `num_used` are the tokens of the conversation so far.

    `characters_per_token` is measured on the answers of this conversation. `language` is that of the last answer, such
    as `bul_Cyrl`, or of what was said where the answer's is not sure.
    """

    device: str = ""
    context_length: int | None = None
    num_used: int = 0
    characters_per_token: float | None = None
    language: str = ""

    @classmethod
    def of(cls, model: Model | None) -> Seen:
        """What an endpoint tells of a model before it has said anything."""
        if model is None:
            return cls()
        details = model.demotic
        return cls((details.device or "") if details is not None else "", model.context_length)

    def after(self, ended: Sequence[AnswerFinished], said_language: str | None) -> Seen:
        """What is known after these turns of the model, of which the last one is the latest.

        `said_language` is what was found on this side of what the person said, for endpoints that do not tell.
        """
        if not ended:
            return replace(self, num_used=0, characters_per_token=None, language="")
        last, text = ended[-1], ended[-1].text
        num_tokens = sum(turn.num_tokens for turn in ended)
        used = last.num_prompt_tokens + last.num_tokens if last.num_prompt_tokens else 0
        length = self.context_length
        if text is not None and text.context_left is not None:
            length = used + text.context_left
        found = (text.answer_language or text.prompt_language) if text is not None else said_language
        characters = sum(turn.num_characters for turn in ended)
        return replace(
            self,
            context_length=length,
            num_used=used,
            characters_per_token=characters / num_tokens if num_tokens and characters else None,
            language=found or "",
        )

    @property
    def share_used(self) -> float | None:
        """How full the context is, from 0 to 1."""
        if not self.context_length or not self.num_used:
            return None
        return min(1.0, self.num_used / self.context_length)

    @property
    def pages(self) -> tuple[float, float] | None:
        """Pages of this conversation's text that the context holds so far, and could hold."""
        if self.share_used is None or self.context_length is None or self.characters_per_token is None:
            return None
        a_token = self.characters_per_token / PAGE_CHARACTERS
        return min(self.num_used, self.context_length) * a_token, self.context_length * a_token
