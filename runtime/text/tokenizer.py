"""What the engine asks of a tokenizer, whichever library is behind it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from runtime.errors import InvalidRequest

# A character that no vocabulary joins to others.
STAND_IN = "\x02"


class Tokenizer(Protocol):
    """Text to token ids and back to bytes."""

    vocabulary_size: int

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        """Token ids of `text`, with what the model wants around a sequence, unless it goes on from others.

        `parse_special` reads the names of control tokens in the text as those tokens: right for a rendered chat
        template, wrong for text from outside. A beginning token that the text already begins with is not doubled.

        Raises:
            InvalidRequest: the text cannot be encoded in UTF-8.
        """

    def token_bytes(self, token: int) -> bytes:
        """The bytes that `token` stands for in text; empty for control tokens."""

    def is_end(self, token: int) -> bool:
        """Whether `token` ends the answer (end of text, end of turn)."""

    def token_text(self, token: int) -> str:
        """The token as the vocabulary writes it, control tokens included: `<|im_end|>`."""


@dataclass(frozen=True)
class Aligned:
    """Ids of a text with nothing around it, and where in the text each of them begins and ends, in characters."""

    ids: Sequence[int]
    offsets: Sequence[tuple[int, int]]


@runtime_checkable
class AligningTokenizer(Tokenizer, Protocol):
    """One that also tells where in a text its tokens are.

    `unknown` is the token of what the vocabulary lacks, `continuing_prefix` what tokens within a word begin with in the
    vocabulary, '' where nothing tells them apart. `takes_space` are tokens whose names take the space before them.
    """

    unknown: int | None
    continuing_prefix: str
    takes_space: Container[int]

    @property
    def separators(self) -> tuple[int, ...]:
        """The tokens between two texts that are judged together."""

    def align(self, text: str) -> Aligned:
        """The tokens of `text`, without what belongs around it, and with names of control tokens as text.

        Raises:
            InvalidRequest: as `encode`.
        """

    def token_id(self, text: str) -> int | None:
        """The token that the vocabulary writes so."""


def to_utf8(text: str) -> bytes:
    """`text` as UTF-8.

    Raises:
        InvalidRequest: it has half of a character that is written in two.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as fault:
        raise InvalidRequest(
            f"The text has a lone surrogate at character {fault.start}, which is not a character.",
            remedy="Send valid Unicode.",
        ) from fault


def frame_of(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The tokens that the tokenizer puts before and after each text by itself."""
    around = tokenizer.encode("", parse_special=False)
    sample = tokenizer.encode("a", parse_special=False)
    num_before = next((i for i, (x, y) in enumerate(zip(around, sample, strict=False)) if x != y), len(around))
    return around[:num_before], around[num_before:]
