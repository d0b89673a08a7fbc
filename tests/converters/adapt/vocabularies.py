"""Random vocabularies of every kind, as GGUF files with next to no model, and the same as a tokenizer.json."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.adapt.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED
from tests.tiny.gguf import REMOVED, write_tiny_gguf

# Few characters, so that pieces overlap in many ways; one of two bytes and one of three, and two that no piece has.
LETTERS = "abcdé語"
OTHERS = "xж"


@dataclass(frozen=True)
class Made:
    """A vocabulary: the metadata entries of a GGUF, the tokenizer.json that reads alike, and its pieces."""

    entries: dict[str, Any]
    spec: dict[str, Any]
    pieces: list[str]
    types: list[int]


def spm(draw: random.Random) -> Made:
    """SentencePiece's BPE: pieces joined of others, scores with ties, and some that no text reaches."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "<mark>", "bb"]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, CONTROL, USER_DEFINED]
    words = ["▁", *(letter for letter in LETTERS if draw.random() < 0.9)]
    words = _joined(draw, words, 60)
    words = [word for word in words if word not in pieces]
    pieces += words
    types += [NORMAL] * len(words)
    scores = [0.0] * 261 + [-float(draw.randrange(12)) for _ in words]
    entries = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.add_space_prefix": draw.random() < 0.5,
    }
    return Made(entries, {}, pieces, types)


def bpe(draw: random.Random) -> Made:
    """Byte-level BPE."""
    to_char = _byte_characters()
    alphabet = list(to_char.values())
    letters = [to_char[byte] for byte in f" {LETTERS}".encode()]
    words, merges = list(dict.fromkeys(letters)), list[tuple[str, str]]()
    for _ in range(60):
        pair = draw.choice(words), draw.choice(words)
        if pair not in merges:
            merges.append(pair)
            words.append("".join(pair))
    new = list(dict.fromkeys(word for word in words if word not in alphabet))
    pieces = ["<|end|>", *alphabet, *new]
    types = [CONTROL] + [NORMAL] * (len(pieces) - 1)
    entries = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.merges": [" ".join(pair) for pair in merges],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.unknown_token_id": REMOVED,
        "tokenizer.ggml.scores": REMOVED,
        "tokenizer.ggml.add_bos_token": False,
    }
    model = {"type": "BPE", "vocab": _ids(pieces), "merges": [list(pair) for pair in merges]}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return Made(entries, _spec(model, ["<|end|>"], pre_tokenizer=level), pieces, types)


def unigram(draw: random.Random) -> Made:
    """Unigram, with scores that tie, and characters that are no pieces."""
    words = ["▁", *(letter for letter in LETTERS if draw.random() < 0.8)]
    words = [word for word in _joined(draw, words, 50) if word not in {"<pad>", "</s>", "<unk>"}]
    pieces = ["<pad>", "</s>", "<unk>", *words]
    types = [CONTROL, CONTROL, UNKNOWN, *[NORMAL] * len(words)]
    scores = [0.0] * 3 + [-float(draw.randrange(1, 30)) for _ in words]
    entries = {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.bos_token_id": REMOVED,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
    }
    model = {"type": "Unigram", "unk_id": 2, "vocab": [list(each) for each in zip(pieces, scores, strict=True)]}
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return Made(entries, _spec(model, ["<pad>", "</s>", "<unk>"], pre_tokenizer=space), pieces, types)


def wordpiece(draw: random.Random) -> Made:
    """WordPiece; not every character is a piece, and not every piece inside a word can be spelt."""
    first = [f"▁{letter}" for letter in LETTERS if draw.random() < 0.9] or ["▁a"]
    inner = [letter for letter in LETTERS if draw.random() < 0.7] or ["a"]
    long = ["".join(draw.choices(LETTERS, k=draw.randint(2, 4))) for _ in range(40)]
    words = list(dict.fromkeys([*first, *inner, *(draw.choice(("▁", "")) + word for word in long)]))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *words]
    types = [CONTROL] * 5 + [NORMAL] * len(words)
    ids = {"padding": 0, "unknown": 1, "bos": 2, "seperator": 3, "mask": 4, "eos": 3}
    entries = {
        "tokenizer.ggml.model": "bert",
        **{f"tokenizer.ggml.{name}_token_id": token for name, token in ids.items()},
        "tokenizer.ggml.scores": REMOVED,
    }
    written = [word[1:] if word.startswith("▁") else f"##{word}" for word in words]
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": _ids([*special, *written]),
    }
    return Made(entries, _spec(model, special, pre_tokenizer={"type": "BertPreTokenizer"}), pieces, types)


KINDS: dict[str, Callable[[random.Random], Made]] = {
    "spm": spm,
    "bpe": bpe,
    "unigram": unigram,
    "wordpiece": wordpiece,
}


def write(path: Path, made: Made, *, embeds: bool = False) -> Path:
    """A GGUF with the vocabulary, a row for each token, and one small block."""
    entries: dict[str, Any] = {
        "tokenizer.ggml.tokens": made.pieces,
        "tokenizer.ggml.token_type": made.types,
        **made.entries,
    }
    if embeds:
        entries["tokenizer.huggingface.json"] = json.dumps(made.spec)
    rows = np.arange(len(made.pieces) * 8, dtype=np.float32).reshape(-1, 8)
    return write_tiny_gguf(
        path,
        layers=1,
        heads=2,
        heads_kv=2,
        embedding_length=8,
        feed_forward_length=8,
        metadata=entries,
        tensors={"token_embd.weight": rows, "output.weight": rows},
    )


def text(draw: random.Random) -> str:
    """Words of the letters, and now and then of others."""
    words = ("".join(draw.choices(LETTERS, k=draw.randint(1, 9))) for _ in range(draw.randint(1, 5)))
    spoilt = [word.replace(draw.choice(word), draw.choice(OTHERS)) if draw.random() < 0.1 else word for word in words]
    return " ".join(spoilt)


def _joined(draw: random.Random, words: list[str], count: int) -> list[str]:
    words = list(words)
    for _ in range(count):
        joined = draw.choice(words) + draw.choice(words)
        if len(joined) <= 8 and "▁" not in joined[1:]:
            words.append(joined)
    # No part leads to some of these.
    words += ["".join(draw.choices(LETTERS, k=3)) for _ in range(5)]
    return list(dict.fromkeys(words))


def _ids(pieces: list[str]) -> dict[str, int]:
    return {piece: token for token, piece in enumerate(pieces)}


def _spec(model: dict[str, Any], special: list[str], **more: Any) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": token, "content": text, **flags} for token, text in enumerate(special)]
    empty = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    return {"version": "1.0", **empty, "added_tokens": added, "model": model, **more}


def _byte_characters() -> dict[int, str]:
    """GPT-2's characters for bytes, by the byte."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(others)}
