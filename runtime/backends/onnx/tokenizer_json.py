"""A tokenizer.json as the only vocabulary of a model: ids, offsets, and what a token stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from runtime.errors import InvalidRequest
from runtime.models.onnx_settings import broken
from runtime.text.byte_level import bytes_of
from runtime.text.library import TokenizerLibrary
from runtime.text.tokenizer import Aligned, frame_of

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "▁"


class JsonTokenizer:
    """`AligningTokenizer` over a tokenizer.json."""

    def __init__(self, path: Path, *, num_rows: int, ends: Iterable[int], keeps: int | None = None) -> None:
        """`num_rows` is how many tokens the graph knows, `ends` are those that end an answer.

        The name of the token `keeps` is read from every text as that token, where other names of control tokens are
        text: that of the mask.

        Raises:
            ModelFileInvalid: it cannot be read, or has tokens that the graph does not know.
        """
        try:
            source: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            added = source.get("added_tokens") or []
            for token in added:
                token["special"] = token["special"] and token["id"] != keeps
            self._library = TokenizerLibrary(json.dumps(source))
            vocabulary = self._library.inner.get_vocab(with_added_tokens=True)
            model = source["model"]
        except Exception as fault:  # the library raises Exception itself
            raise broken(path, f"cannot be read: {fault}") from fault
        highest = max(vocabulary.values(), default=-1)
        if highest >= num_rows:
            raise broken(path, f"has tokens up to {highest}, but the graph's embedding has {num_rows} rows")
        self.vocabulary_size = num_rows
        self._ends = frozenset(ends)
        self._control = frozenset(token["id"] for token in added if token["special"] or token["id"] == keeps)
        self.takes_space = frozenset(token["id"] for token in added if token.get("lstrip"))
        self._has_bytes = "ByteLevel" in json.dumps([source.get("pre_tokenizer"), source.get("decoder")])
        unknown = vocabulary.get(model.get("unk_token")) if model.get("unk_token") else model.get("unk_id")
        self.unknown = unknown if isinstance(unknown, int) else None
        self.continuing_prefix: str = model.get("continuing_subword_prefix") or ""
        self._before, _ = frame_of(self)

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        """See `Tokenizer.encode`."""
        if not is_beginning:
            return self._library.go_on(text, parse_special=parse_special)
        if parse_special and self._before:
            alone = self._library.read(text, parse_special=True).ids
            if alone[: len(self._before)] == self._before:
                return alone
        return self._library.read(text, parse_special=parse_special, is_framed=True).ids

    def align(self, text: str) -> Aligned:
        """See `AligningTokenizer.align`."""
        read = self._library.read(text, parse_special=False)
        return Aligned(read.ids, read.offsets)

    @cached_property
    def separators(self) -> tuple[int, ...]:
        """See `AligningTokenizer.separators`; none where the file does not say how two texts go together."""
        text = self._library.read("a", parse_special=False).ids
        before, after = frame_of(self)
        with self._library.lock:
            pair: list[int] = self._library.inner.encode("a", "a").ids
        if pair[: len(before)] != before:
            return ()
        return tuple(pair[len(before) + len(text) : len(pair) - len(after) - len(text)])

    def token_id(self, text: str) -> int | None:
        """See `AligningTokenizer.token_id`."""
        found: int | None = self._library.inner.token_to_id(text)
        return found

    def token_bytes(self, token: int) -> bytes:
        """See `Tokenizer.token_bytes`."""
        text = self.token_text(token)
        if token in self._control:
            return b""
        if self._has_bytes:
            return bytes_of(text)
        if found := _BYTE.fullmatch(text):
            return bytes([int(found[1], 16)])
        return text.replace(_SPACE, " ").encode()

    def token_text(self, token: int) -> str:
        """See `Tokenizer.token_text`; '' for a row of the graph that no token has."""
        if not 0 <= token < self.vocabulary_size:
            raise InvalidRequest(f"There is no token {token}: the vocabulary has {self.vocabulary_size}.")
        return self._library.inner.id_to_token(token) or ""

    def is_end(self, token: int) -> bool:
        """See `Tokenizer.is_end`."""
        return token in self._ends
