"""What a tokenizer makes of the same text in each language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.fertility import num_characters, num_words
from runtime.text.tokenizer import Tokenizer, frame_of


@dataclass(frozen=True)
class TokenReport:
    """Counts over the lines of one language, without what stands around a text.

    words: None where the script does not part them by spaces. characters: grapheme clusters. fallbacks: tokens that
    stand for a part of a character, or for what the vocabulary lacks.
    """

    tokens: int
    words: int | None
    characters: int
    num_bytes: int
    fallbacks: int

    @property
    def fertility(self) -> float:
        """Tokens by word, or by character where there are no words."""
        return self.tokens / (self.words or self.characters)

    @property
    def fallback_rate(self) -> float:
        """The share of the tokens that are no whole characters."""
        return self.fallbacks / self.tokens

    @property
    def characters_per_token(self) -> float:
        """How much of a text a token stands for."""
        return self.characters / self.tokens


def report_on(language: str, lines: Sequence[str], tokenizer: Tokenizer) -> TokenReport:
    """Count what `tokenizer` makes of the lines, each by itself; names of control tokens in them are text."""
    around = sum(map(len, frame_of(tokenizer)))
    num_tokens = fallbacks = 0
    for line in lines:
        tokens = tokenizer.encode(line, parse_special=False)
        # What stands around has no bytes; nor has what the vocabulary lacks.
        fallbacks += sum(not is_whole(tokenizer.token_bytes(token)) for token in tokens) - around
        num_tokens += len(tokens) - around
    words = [num_words(language, line) for line in lines]
    return TokenReport(
        tokens=num_tokens,
        words=None if None in words else sum(each or 0 for each in words),
        characters=sum(map(num_characters, lines)),
        num_bytes=sum(len(line.encode()) for line in lines),
        fallbacks=fallbacks,
    )


def is_whole(piece: bytes) -> bool:
    """Whether a token's bytes are characters, and not a part of one or nothing."""
    try:
        return bool(piece.decode())
    except UnicodeDecodeError:
        return False
