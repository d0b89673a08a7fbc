"""What an answer of the lab is measured by: how long it is, how fast it came, and how much of it is in its language."""

from __future__ import annotations

import msgspec
import regex

from tui.events import AnswerFinished, rate
from tui.lab.column import Column

_GRAPHEME = regex.compile(r"\X")


class Figures(msgspec.Struct, frozen=True):
    """What an answer took, as the chat saw it; times in seconds.

    Characters are code points of the answer without its reasoning, and graphemes what people count as one. Rates are
    counted as `demotic run` counts them. What the endpoint does not tell is None.
    """

    num_tokens: int
    num_characters: int
    num_graphemes: int
    seconds: float
    first_token_seconds: float
    tokens_per_second: float
    characters_per_second: float
    num_prompt_tokens: int | None = None
    num_cached_tokens: int | None = None
    blocked_tokens: int | None = None


class Found(msgspec.Struct, frozen=True):
    """A language that an answer is in, such as `bul_Cyrl`, with its share of the letters, from 0 to 1."""

    language: str
    share: float


class InLanguage(msgspec.Struct, frozen=True):
    """How much of an answer is in the language asked for: `fidelity`, the share of its letters, from 0 to 1.

    `asked` is the column's language, else that of its lock, else that of the prompt; empty, and no fidelity, where the
    prompt's is not sure. `found` are the languages that it is in. `num_foreign_characters` are those that the lock
    should have kept out, None without a lock.
    """

    asked: str
    fidelity: float | None
    found: tuple[Found, ...] = ()
    num_foreign_characters: int | None = None

    @property
    def lock_held(self) -> bool | None:
        """Whether nothing foreign got through; None without a lock."""
        return None if self.num_foreign_characters is None else self.num_foreign_characters == 0


def figures_of(ended: AnswerFinished, text: str) -> Figures:
    """The figures of a whole answer."""
    return Figures(
        num_tokens=ended.num_tokens,
        num_characters=ended.num_characters,
        num_graphemes=len(_GRAPHEME.findall(text)),
        seconds=round(ended.seconds, 4),
        first_token_seconds=round(ended.first_token_seconds, 4),
        tokens_per_second=round(rate(ended.num_tokens - 1, ended.decode_seconds), 2),
        characters_per_second=round(rate(ended.num_characters, ended.seconds), 2),
        num_prompt_tokens=ended.num_prompt_tokens or None,
        num_cached_tokens=ended.num_cached_tokens,
        blocked_tokens=ended.text.blocked_tokens if ended.text is not None else None,
    )


def in_language(column: Column, prompt: str, text: str) -> InLanguage:
    """How an answer keeps to its language. It takes up to a second the first time: the classifier is loaded."""
    from runtime.chat.said import language_of
    from runtime.chat.template import Message
    from runtime.language.codes import parse
    from runtime.language.fidelity import fidelity_to, foreign_to

    lock = column.lock
    locked = parse(lock.language) if lock is not None and lock.language != "auto" else None
    asked = column.language or (str(locked) if locked is not None else language_of([Message("user", prompt)]) or "")
    told = fidelity_to(parse(asked), text) if asked else None
    return InLanguage(
        asked,
        told.share if told is not None else None,
        tuple(Found(language, share) for language, share in told.found) if told is not None else (),
        None if lock is None else len(foreign_to(text, locked, prompt)),
    )
