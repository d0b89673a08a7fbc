"""A tokenizer's whole vocabulary at once: the bytes of every token, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property

from runtime.errors import InvalidRequest
from runtime.text.tokenizer import Tokenizer


class Vocabulary:
    """What each token stands for; reading it takes about a second for 262,144 tokens, once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.pieces = [tokenizer.token_bytes(token) for token in range(tokenizer.vocabulary_size)]
        self.ends = [token for token in range(tokenizer.vocabulary_size) if tokenizer.is_end(token)]

    @cached_property
    def _tokens(self) -> dict[bytes, int]:
        """Tokens by their bytes; of several with the same ones, the first."""
        tokens: dict[bytes, int] = {}
        for token, piece in enumerate(self.pieces):
            tokens.setdefault(piece, token)
        tokens.pop(b"", None)
        return tokens

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._tokens))

    def beginnings(self, text: bytes) -> Iterator[int]:
        """Every token that `text` begins with, the shortest first."""
        for length in range(1, min(len(text), self._longest) + 1):
            token = self._tokens.get(text[:length])
            if token is not None:
                yield token

    def spell(self, text: bytes) -> list[int]:
        """Tokens for `text`, which goes on from others, as the tokenizer would write them where it can.

        It cannot where the text is no whole UTF-8, or has what the tokenizer takes for something else: SentencePiece's
        own sign for a space.

        Raises:
            InvalidRequest: the vocabulary has not even the bytes of the text.
        """
        spelled: list[int] = []
        while text:
            with suppress(UnicodeDecodeError):
                tokens = self.tokenizer.encode(text.decode(), parse_special=False, is_beginning=False)
                if b"".join(self.pieces[token] for token in tokens) == text:
                    return spelled + tokens
            found = list(self.beginnings(text))
            if not found:
                raise InvalidRequest(f"The model's vocabulary cannot write {text.decode(errors='replace')!r:.40}.")
            spelled.append(found[-1])
            text = text[len(self.pieces[found[-1]]) :]
        return spelled
