"""A vocabulary with what trimming must know of it, from a GGUF's metadata or from a tokenizer.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from runtime.errors import ConversionRefused
from runtime.models.gguf_format import StringArray
from runtime.models.header import Header

Kind: TypeAlias = Literal["spm", "bpe", "unigram", "wordpiece"]

# llama_token_type (llama.h).
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
_BYTE_NAME = re.compile(r"<0x[0-9A-F]{2}>")
_KINDS: dict[str, Kind] = {"llama": "spm", "gpt2": "bpe", "gemma4": "bpe", "t5": "unigram", "bert": "wordpiece"}
_WORD_START = "▁"


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id.

    scores: of the kinds "spm" and "unigram"; else empty.
    types: llama_token_type.
    merges: of the kind "bpe", the most urgent first.
    word_start, continuation: of the kind "wordpiece", what begins the first piece of a word, and the others; the one
        that has no mark is empty.
    """

    kind: Kind
    pieces: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[tuple[str, str], ...] = ()
    word_start: str = ""
    continuation: str = ""

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """The id of each piece."""
        return {piece: token for token, piece in enumerate(self.pieces)}


def vocabulary_of(header: Header) -> Vocabulary:
    """The vocabulary of a GGUF whose header has been checked.

    Raises:
        ConversionRefused: it is one of single bytes, of which nothing can be spared.
    """
    model = header.text("tokenizer.ggml.model") or ""
    if model not in _KINDS:
        raise ConversionRefused(f"{header.path} has a vocabulary of single bytes: there is nothing to trim.")
    tokens = header.metadata["tokenizer.ggml.tokens"]
    merges = header.metadata.get("tokenizer.ggml.merges")
    scores = header.metadata.get("tokenizer.ggml.scores")
    types = header.metadata.get("tokenizer.ggml.token_type")
    kind = _KINDS[model]
    pieces = _texts(tokens)
    return Vocabulary(
        kind,
        pieces,
        tuple(types.tolist()[: len(pieces)]) if isinstance(types, np.ndarray) else (NORMAL,) * len(pieces),
        tuple(scores.tolist()[: len(pieces)]) if isinstance(scores, np.ndarray) and kind in {"spm", "unigram"} else (),
        tuple(map(split_merge, _texts(merges))) if kind == "bpe" else (),
        word_start=_WORD_START if kind == "wordpiece" else "",
    )


def vocabulary_in(spec: Mapping[str, Any], num_rows: int) -> Vocabulary:
    """The vocabulary of a tokenizer.json, with rows of the model that it has no tokens for as unused ones.

    Raises:
        ConversionRefused: it is of a kind that is not trimmed.
    """
    model = spec["model"]
    kind: Kind
    scores: dict[int, float] = {}
    match model.get("type"):
        case "BPE" if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
            raise ConversionRefused("A tokenizer.json whose merges add or drop a mark of words is not trimmed.")
        case "BPE":
            kind, ids = "bpe", dict(model["vocab"])
        case "WordPiece":
            kind, ids = "wordpiece", dict(model["vocab"])
        case "Unigram":
            kind = "unigram"
            ids = {piece: token for token, (piece, _) in enumerate(model["vocab"])}
            scores = {token: float(score) for token, (_, score) in enumerate(model["vocab"])}
        case other:
            raise ConversionRefused(f"A tokenizer.json of kind {other!r:.40} is not trimmed.")
    types = {token: BYTE if _BYTE_NAME.fullmatch(piece) else NORMAL for piece, token in ids.items()}
    for added in spec.get("added_tokens", ()):
        ids[added["content"]] = added["id"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    pieces = {token: piece for piece, token in ids.items()}
    rows = range(max(num_rows, max(pieces, default=-1) + 1))
    return Vocabulary(
        kind,
        tuple(pieces.get(token, f"[PAD{token}]") for token in rows),
        tuple(types.get(token, UNUSED) for token in rows),
        tuple(scores.get(token, 0.0) for token in rows) if kind == "unigram" else (),
        tuple(map(split_merge, model["merges"])) if kind == "bpe" else (),
        continuation=model.get("continuing_subword_prefix", "") if kind == "wordpiece" else "",
    )


def split_merge(merge: str | list[str]) -> tuple[str, str]:
    """Both parts of a merge; in text they stand before and after a space that is not the first character."""
    if isinstance(merge, str):
        at = merge.index(" ", 1)
        return merge[:at], merge[at + 1 :]
    left, right = merge
    return left, right


def _texts(array: object) -> tuple[str, ...]:
    """The strings of an array; bytes that are not UTF-8 come through."""
    if not isinstance(array, StringArray):
        return ()
    return tuple(text.decode("utf-8", "surrogateescape") for text in array.all_bytes())
