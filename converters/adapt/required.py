"""The tokens that stay whatever the languages are: what stands for no text, and what any text may need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import jinja2
import numpy as np

from converters.adapt.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, Vocabulary
from runtime.errors import InvalidRequest
from runtime.models.gguf_format import MetadataValue
from runtime.text.tokenizer import Tokenizer

# Metadata entries that hold ids of tokens.
ID_KEY = re.compile(r"(?:_token_ids?|\.suppress_tokens)$")
# What llama.cpp takes where a file does not say (llama-vocab.cpp, `llama_vocab::impl::load`).
DEFAULT_IDS = {
    "llama": {"bos": 1, "eos": 2, "unknown": 0},
    "gpt2": {"bos": 11, "eos": 11},
    "gemma4": {},
    "t5": {"eos": 1, "unknown": 2, "padding": 0},
    "bert": {"bos": 101, "unknown": 100, "seperator": 102, "padding": 0, "mask": 103},
}
# Marks that llama.cpp and templates know by their text, where the file has them as plain tokens.
_MARK = re.compile(r"[▁_]?(?:<[^<>\s]{1,60}>|\[[A-Z]{2,20}\])|\[e~\[")
# Rows that were left for later: they stand for nothing until a fine-tuning uses them.
_SPARE = re.compile(r"[<\[]?\|?(?:unused|reserved(?:_special)?(?:_token)?|pad)[_-]?\d+\|?[>\]]?", re.IGNORECASE)
_ASCII = [chr(code) for code in range(0x20, 0x7F)]
MAX_KEEP_BYTES = 2**24


def required_tokens(
    vocabulary: Vocabulary, tokenizer: Tokenizer, texts: Iterable[str] = (), more: Iterable[int] = ()
) -> set[int]:
    """The tokens that always stay, without their closure.

    `texts` are what templates write by themselves, `more` tokens that something refers to or that were asked for.
    """
    required = {
        token
        for token, (piece, kind) in enumerate(zip(vocabulary.pieces, vocabulary.types, strict=True))
        if _is_required(piece, kind)
    }
    required |= set(more)
    for text in (*texts, *_ASCII, *(f" {char}" for char in _ASCII)):
        required |= set(read_inside(text, vocabulary, tokenizer, parse_special=True))
    if vocabulary.kind == "bpe":
        required |= _bytes_of(vocabulary)
    if vocabulary.kind == "unigram":
        # What an unknown character costs is measured from the least likely piece.
        normal = [token for token, kind in enumerate(vocabulary.types) if kind == NORMAL]
        required |= {min(normal, key=lambda token: vocabulary.scores[token])} if normal else set()
    return required


def read_inside(text: str, vocabulary: Vocabulary, tokenizer: Tokenizer, *, parse_special: bool) -> list[int]:
    """The tokens of a text that others stand before.

    Kinds that know words by the white space around them read it as they read any; what is put around it stays anyway.
    """
    knows_words = vocabulary.kind in {"unigram", "wordpiece"}
    return tokenizer.encode(text, parse_special=parse_special, is_beginning=knows_words)


def _is_required(piece: str, kind: int) -> bool:
    if kind in {BYTE, USER_DEFINED, UNKNOWN}:
        return True
    if _SPARE.fullmatch(piece):
        return False
    return kind == CONTROL or _MARK.fullmatch(piece) is not None


def _bytes_of(vocabulary: Vocabulary) -> set[int]:
    """The characters that stand for bytes, or names of bytes, and one merge, without which no file is loaded."""
    singles = {token for token, piece in enumerate(vocabulary.pieces) if len(piece) == 1}
    alphabet = {token for token in singles if ord(vocabulary.pieces[token]) < 0x144}  # GPT-2's: 0x21 to 0x143
    first = ("".join(pair) for pair in vocabulary.merges[:1])
    return alphabet | {vocabulary.ids[text] for text in first if text in vocabulary.ids}


def ids_in(metadata: Mapping[str, MetadataValue], num_tokens: int) -> Iterator[int]:
    """The ids that the metadata of a GGUF refers to, also those that llama.cpp takes where it says nothing."""
    model = metadata.get("tokenizer.ggml.model")
    for name, token in DEFAULT_IDS.get(model if isinstance(model, str) else "", {}).items():
        if f"tokenizer.ggml.{name}_token_id" not in metadata and token < num_tokens:
            yield token
    for key, value in metadata.items():
        if not ID_KEY.search(key):
            continue
        found = value.tolist() if isinstance(value, np.ndarray) else [value]
        yield from (token for token in found if isinstance(token, int) and 0 <= token < num_tokens)


def template_texts(templates: Iterable[str]) -> Iterator[str]:
    """What chat templates write by themselves: their text, and the strings in their code."""
    for template in templates:
        try:
            parts = list(jinja2.Environment(autoescape=True).lex(template))
        except jinja2.TemplateSyntaxError:
            continue  # nothing can be written with it
        for _, kind, text in parts:
            if kind == "data":
                yield text
            elif kind == "string":
                yield re.sub(r"\\n", "\n", text[1:-1])


def read_keep(path: Path, vocabulary: Vocabulary, tokenizer: Tokenizer) -> set[int]:
    """The tokens that a file asks for: a line each, a token as the vocabulary writes it, an id, or a text.

    Raises:
        InvalidRequest: it cannot be read, is no UTF-8, or names an id that there is not.
    """
    from converters.adapt.texts import read_text

    wanted: set[int] = set()
    for line in read_text(path, "--keep", MAX_KEEP_BYTES).splitlines():
        if not line.strip():
            continue
        if line in vocabulary.ids:
            wanted.add(vocabulary.ids[line])
        elif line.strip().isascii() and line.strip().isdigit():
            token = int(line)
            if token >= len(vocabulary):
                raise InvalidRequest(
                    f"{path} asks for token {token}, but the vocabulary has {len(vocabulary)}.", param="--keep"
                )
            wanted.add(token)
        else:
            for text in (line, f" {line}"):
                wanted |= set(read_inside(text, vocabulary, tokenizer, parse_special=True))
    return wanted
