"""A vocabulary of single bytes, as ByT5 and MonoByte have it: every text is its UTF-8, and nothing is unknown."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from functools import cached_property

import numpy as np

from runtime.errors import InvalidRequest
from runtime.text.tokenizer import to_utf8

# Bytes that occur nowhere in UTF-8 (RFC 3629, section 3), from the last one down.
_NEVER_TEXT = (*range(0xFF, 0xF4, -1), 0xC1, 0xC0)
# What begins with these cannot be read from a text.
_OUTSIDE_TEXT = b"\xff\xfe"
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}


class ByteTokenizer:
    """`Tokenizer` over tokens in llama.cpp's notation of the kind `rwkv`, where a byte is `\\xNN`.

    The other tokens are control tokens. Their names may begin with `\\xff\\xfe`, so that other programs do not read
    them from texts either.
    """

    def __init__(self, texts: Iterable[bytes], *, ends: Iterable[int], eos: int | None = None) -> None:
        """`ends` are the tokens that end an answer, `eos` the one that every text gets at its end."""
        tokens = [unescape(text) for text in texts]
        self.vocabulary_size = len(tokens)
        self._bytes = [token if len(token) == 1 else b"" for token in tokens]
        self._names = [_name(token) for token in tokens]
        self._ids = np.zeros(256, np.int64)
        for token, data in reversed(list(enumerate(self._bytes))):
            if data:
                self._ids[data[0]] = token
        self._ends = frozenset(ends)
        self._eos = eos

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        """See `Tokenizer.encode`."""
        parts = self._control_names.split(text) if parse_special and self._control else [text]
        tokens: list[int] = []
        for index, part in enumerate(parts):
            if index % 2:
                tokens.append(self._control[part])
            else:
                tokens += self._ids[np.frombuffer(to_utf8(part), np.uint8)].tolist()
        return [*tokens, self._eos] if is_beginning and self._eos is not None else tokens

    def token_bytes(self, token: int) -> bytes:
        """See `Tokenizer.token_bytes`."""
        return self._bytes[self._checked(token)]

    def token_text(self, token: int) -> str:
        """See `Tokenizer.token_text`; bytes in SentencePiece's notation, `<0x0A>`."""
        return self._names[self._checked(token)]

    def is_end(self, token: int) -> bool:
        """See `Tokenizer.is_end`."""
        return token in self._ends

    @property
    def never_text(self) -> dict[str, int]:
        """The tokens of bytes that no text has, by their names, from the last byte down."""
        return {f"<0x{byte:02X}>": int(self._ids[byte]) for byte in _NEVER_TEXT}

    def _checked(self, token: int) -> int:
        if not 0 <= token < self.vocabulary_size:
            raise InvalidRequest(f"There is no token {token}: the vocabulary has {self.vocabulary_size}.")
        return token

    @cached_property
    def _control(self) -> dict[str, int]:
        return {self._names[token]: token for token, data in enumerate(self._bytes) if not data}

    @cached_property
    def _control_names(self) -> re.Pattern[str]:
        longest_first = sorted(self._control, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first))})")


def _name(token: bytes) -> str:
    if len(token) == 1:
        return f"<0x{token.hex().upper()}>"
    return token.removeprefix(_OUTSIDE_TEXT).decode(errors="replace")


def unescape(text: bytes) -> bytes:
    """The bytes that llama.cpp's notation of `rwkv` stands for (`llama_unescape_rwkv_token` in llama-vocab.cpp)."""
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else _plain(found[2]), text)


def are_bytes(texts: Sequence[bytes], control: Container[int]) -> bool:
    """Whether tokens in this notation are the 256 bytes, and besides them only `control` tokens and what is no text."""
    tokens = [unescape(text) for text in texts]
    singles = [token for token in tokens if len(token) == 1]
    others = [index for index, token in enumerate(tokens) if len(token) != 1]
    is_named = all(index in control or tokens[index].startswith(_OUTSIDE_TEXT) for index in others)
    return is_named and len(singles) == len(set(singles)) == 256


def _plain(character: bytes) -> bytes:
    return _ESCAPED.get(character, character)
