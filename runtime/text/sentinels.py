"""Sentinels: the names that stand for the gaps of a text, which encoder-decoders of T5's family were trained to fill.

"The <extra_id_0> walks in <extra_id_1> park" is answered by "<extra_id_0> cute dog <extra_id_1> the". Source: Raffel et
al. 2020, section 3.1.4. ByT5 as Google trained it has no tokens for this: it counts down from the byte 0xFF, and these
bytes, which no text has, are written `<0xFF>` here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from runtime.text.bytes import ByteTokenizer
from runtime.text.tokenizer import Tokenizer, frame_of


class SentinelTokenizer:
    """`Tokenizer` over another one that reads sentinels in texts, but no other names, and shows them in answers."""

    def __init__(self, tokenizer: Tokenizer, sentinels: Mapping[str, int]) -> None:
        self.vocabulary_size = tokenizer.vocabulary_size
        self._tokenizer = tokenizer
        self._tokens = dict(sentinels)
        self._bytes = {token: name.encode() for name, token in sentinels.items()}
        self._names = re.compile(f"({'|'.join(map(re.escape, sentinels))})")

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        """See `Tokenizer.encode`."""
        first, *others = self._names.split(text)
        if not others:
            return self._tokenizer.encode(text, parse_special=parse_special, is_beginning=is_beginning)
        tokens: list[int] = []
        for index, part in enumerate((first, *others)):
            if index % 2:
                tokens.append(self._tokens[part])
            elif part:
                tokens += self._tokenizer.encode(part, parse_special=parse_special, is_beginning=False)
        before, after = frame_of(self._tokenizer) if is_beginning else ([], [])
        return [*before, *tokens, *after]

    def token_bytes(self, token: int) -> bytes:
        """See `Tokenizer.token_bytes`: of a sentinel, its name."""
        return self._bytes.get(token) or self._tokenizer.token_bytes(token)

    def token_text(self, token: int) -> str:
        """See `Tokenizer.token_text`."""
        return self._tokenizer.token_text(token)

    def is_end(self, token: int) -> bool:
        """See `Tokenizer.is_end`."""
        return self._tokenizer.is_end(token)


def with_sentinels(tokenizer: Tokenizer) -> Tokenizer:
    """`tokenizer`, knowing the sentinels of its vocabulary, if there are any."""
    sentinels = _named(tokenizer)
    if isinstance(tokenizer, ByteTokenizer):
        sentinels |= tokenizer.never_text
    return SentinelTokenizer(tokenizer, sentinels) if sentinels else tokenizer


def _named(tokenizer: Tokenizer) -> dict[str, int]:
    """`<extra_id_0>` and so on, for as long as each is one token."""
    sentinels: dict[str, int] = {}
    while True:
        name = f"<extra_id_{len(sentinels)}>"
        tokens = tokenizer.encode(name, parse_special=True, is_beginning=False)
        if len(tokens) != 1 or tokenizer.token_text(tokens[0]).strip(" ▁") != name:
            return sentinels
        sentinels[name] = tokens[0]
