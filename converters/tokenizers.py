"""The tokenizer of a checkpoint as a GGUF carries it: natively where llama.cpp can represent it, and whole as JSON.

The kind is found from the files: byte-level BPE, SentencePiece's BPE with byte fallback, Unigram, WordPiece;
or the checkpoint says that its tokens are bytes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import tokenizers
from gguf import TokenType

from converters.architectures.base import Value
from converters.bytes import byte_entries, decode_bytes, encode_bytes, is_of_bytes
from converters.checkpoint import Checkpoint
from converters.pretokenizers import nearest_pre_tokenizer, pre_tokenizer_of, steps_of
from converters.special_tokens import special_tokens
from converters.tokenizer_source import tokenizer_source
from runtime.errors import ConversionRefused
from runtime.models.header import EMBEDDED_KEY

Kind: TypeAlias = Literal["gpt2", "llama", "t5", "bert", "rwkv"]

_SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
# llama.cpp refuses byte-level BPE without merges; this one joins two bytes to what is no token.
_DUMMY_MERGE = "! !"
_UNREACHABLE_SCORE = -1e6


@dataclass(frozen=True)
class Tokenizer:
    """A checkpoint's tokenizer, the entries that carry it in a GGUF, and sentences on what these do not say."""

    kind: Kind
    entries: dict[str, Value]
    notes: list[str]
    library: tokenizers.Tokenizer | None = None  # None where tokens are bytes
    own: Callable[[str], list[int]] | None = None  # what the source's files are read by, if that is another library

    def encode(self, text: str, *, adds_end: bool = True) -> list[int]:
        """Ids as the source gives them, with what belongs around a text; of bytes without an end, where it is unwanted.

        A text that holds the name of a special token is not for this: `tokenizers` always reads it as the token.
        """
        if self.library is None:
            return encode_bytes(text, adds_end=adds_end and self.entries["tokenizer.ggml.add_eos_token"] is True)
        return self.own(text) if self.own is not None else list(self.library.encode(text).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without control tokens."""
        if self.library is None:
            return decode_bytes(tokens)
        return self.library.decode(list(tokens), skip_special_tokens=True)


def read_tokenizer(checkpoint: Checkpoint, num_rows: int) -> Tokenizer:
    """Read the tokenizer of a checkpoint whose embedding has `num_rows` rows.

    Raises:
        ConversionRefused: there is none, it has more tokens than rows, or llama.cpp has nothing like it.
    """
    if is_of_bytes(checkpoint):
        is_decoder = not checkpoint.config.flag("is_encoder_decoder", default=False)
        return Tokenizer("rwkv", byte_entries(num_rows, adds_end=not is_decoder), [])
    source = tokenizer_source(checkpoint)
    library = source.library()
    spec = json.loads(source.text)
    kind = kind_of(spec, source.where)
    notes: list[str] = []
    entries: dict[str, Value] = {"tokenizer.ggml.model": kind, "tokenizer.ggml.pre": "default"}
    tokens = _tokens(library, num_rows, source.where)
    types = _types(spec, kind, tokens)
    match kind:
        case "gpt2":
            entries |= _byte_level(spec, notes)
        case "llama":
            entries |= _sentencepiece(spec, tokens)
        case "t5":
            entries |= _unigram(spec, tokens)
        case "bert":
            entries |= _wordpiece(spec)
            tokens = [_phantom(token, kind_of) for token, kind_of in zip(tokens, types, strict=True)]
    if kind in {"llama", "t5"}:
        is_user_defined = [kind_of == TokenType.USER_DEFINED for kind_of in types]
        # llama.cpp looks for these in the text itself, which has spaces.
        tokens = [t.replace(_SPACE, " ") if is_user else t for t, is_user in zip(tokens, is_user_defined, strict=True)]
    entries |= {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [int(each) for each in types]}
    entries |= special_tokens(checkpoint, library, notes)
    if source.is_exact:
        entries[EMBEDDED_KEY] = source.text
    else:
        notes.append(
            f"No tokenizer.json gives the ids of {Path(source.where).name} on all texts, so the file carries none; it "
            "is read by llama.cpp's own tokenizer."
        )
    return Tokenizer(kind, entries, notes, library, source.encode)


def kind_of(spec: dict[str, Any], where: str) -> Kind:
    """The kind of a tokenizer.json, as llama.cpp calls it.

    Raises:
        ConversionRefused: it has none like it.
    """
    model = spec["model"]
    steps = [step["type"] for part in ("pre_tokenizer", "decoder") for step in steps_of(spec.get(part))]
    match model.get("type"):
        case "BPE" if "ByteLevel" in steps:
            return "gpt2"
        case "BPE" if model.get("byte_fallback"):
            return "llama"
        case "Unigram":
            return "t5"
        case "WordPiece":
            return "bert"
    raise ConversionRefused(
        f"{where} is of a kind that llama.cpp does not know: {model.get('type')} without bytes.",
        remedy="Known are byte-level BPE, BPE with byte fallback, Unigram and WordPiece.",
    )


def _tokens(library: tokenizers.Tokenizer, num_rows: int, where: str) -> list[str]:
    """The text of every row; rows beyond the tokenizer get names of their own."""
    vocabulary = library.get_vocab(with_added_tokens=True)
    highest = max(vocabulary.values(), default=-1)
    if highest >= num_rows:
        raise ConversionRefused(
            f"{where} has the token id {highest}, but the embedding has only {num_rows} rows.",
            remedy="Get the tokenizer that belongs to these weights.",
        )
    tokens = [f"[PAD{row}]" for row in range(num_rows)]
    for token, row in vocabulary.items():
        tokens[row] = token
    return tokens


def _types(spec: dict[str, Any], kind: Kind, tokens: list[str]) -> list[TokenType]:
    added = {each["id"]: each for each in spec.get("added_tokens", [])}
    model = spec["model"]
    vocabulary = model["vocab"]
    known = set(vocabulary) if isinstance(vocabulary, dict) else {token for token, _ in vocabulary}
    unknown = model.get("unk_token") if kind != "t5" else None
    unknown_row = model.get("unk_id") if kind == "t5" else None
    types = []
    for row, token in enumerate(tokens):
        if row == unknown_row or (token == unknown and kind != "gpt2"):
            types.append(TokenType.UNKNOWN)
        elif row in added:
            types.append(TokenType.CONTROL if added[row]["special"] else TokenType.USER_DEFINED)
        elif token not in known:
            types.append(TokenType.UNUSED)
        elif kind == "llama" and _BYTE.fullmatch(token):
            types.append(TokenType.BYTE)
        else:
            types.append(TokenType.NORMAL)
    return types


def _merges(spec: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = (each.split(" ", 1) if isinstance(each, str) else each for each in spec["model"]["merges"])
    return [(first, second) for first, second in pairs]


def _byte_level(spec: dict[str, Any], notes: list[str]) -> dict[str, Value]:
    pre = pre_tokenizer_of(spec)
    if pre is None:
        pre = nearest_pre_tokenizer(spec)
        notes.append(
            f"llama.cpp has no way of splitting text like this tokenizer's; the nearest, '{pre}', is written. demotic "
            "reads texts by the tokenizer.json inside the file; other programs do not, and get other tokens."
        )
    return {
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.merges": [f"{first} {second}" for first, second in _merges(spec)] or [_DUMMY_MERGE],
    }


def _sentencepiece(spec: dict[str, Any], tokens: list[str]) -> dict[str, Value]:
    """SentencePiece merges the pair with the best score first: a token's is the rank of the merge that makes it."""
    scores = dict.fromkeys(tokens, _UNREACHABLE_SCORE)
    for rank, (first, second) in enumerate(_merges(spec)):
        if scores.get(first + second) == _UNREACHABLE_SCORE:
            scores[first + second] = -float(rank)
    return {
        "tokenizer.ggml.scores": [scores[token] for token in tokens],
        "tokenizer.ggml.add_space_prefix": _prepends_space(spec),
    }


def _unigram(spec: dict[str, Any], tokens: list[str]) -> dict[str, Value]:
    scores = {token: float(score) for token, score in spec["model"]["vocab"]}
    entries: dict[str, Value] = {
        "tokenizer.ggml.scores": [scores.get(token, 0.0) for token in tokens],
        "tokenizer.ggml.add_space_prefix": _prepends_space(spec),
        "tokenizer.ggml.remove_extra_whitespaces": False,
    }
    if (unknown := spec["model"].get("unk_id")) is not None:
        entries["tokenizer.ggml.unknown_token_id"] = int(unknown)
    for step in steps_of(spec.get("normalizer")):
        match step:
            case {"type": "Precompiled", "precompiled_charsmap": str(charsmap)} if charsmap:
                entries["tokenizer.ggml.precompiled_charsmap"] = base64.b64decode(charsmap)
            case {"type": "Replace", "pattern": {"Regex": " {2,}"}}:
                entries["tokenizer.ggml.remove_extra_whitespaces"] = True
    return entries


def _prepends_space(spec: dict[str, Any]) -> bool:
    for step in steps_of(spec.get("normalizer")) + steps_of(spec.get("pre_tokenizer")):
        match step:
            case {"type": "Prepend", "prepend": "▁"}:
                return True
            case {"type": "Metaspace"}:
                return step.get("prepend_scheme", "always") != "never" and step.get("add_prefix_space", True) is True
    return False


def _wordpiece(spec: dict[str, Any]) -> dict[str, Value]:
    normalizer = next((step for step in steps_of(spec.get("normalizer")) if step["type"] == "BertNormalizer"), {})
    is_lower = bool(normalizer.get("lowercase", True))
    strips = normalizer.get("strip_accents")
    return {
        "tokenizer.ggml.normalizer.lowercase": is_lower,
        "tokenizer.ggml.normalizer.strip_accents": is_lower if strips is None else bool(strips),
    }


def _phantom(token: str, kind: TokenType) -> str:
    """llama.cpp marks the beginning of words, WordPiece what goes on with one."""
    if kind not in {TokenType.NORMAL, TokenType.USER_DEFINED}:
        return token
    return token.removeprefix("##") if token.startswith("##") else _SPACE + token
