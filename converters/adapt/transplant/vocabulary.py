"""One side of a transplant: a tokenizer's tokens, in a form that those of the other side can be compared with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tokenizers

from converters.checkpoint import Checkpoint
from converters.special_tokens import named_tokens
from converters.tokenizer_source import TokenizerSource
from converters.tokenizers import Kind, kind_of
from runtime.errors import ConversionRefused
from runtime.text.byte_level import bytes_of

# How pieces of SentencePiece write a space, and GPT-2's bytes.
_SPACE, _BYTE_SPACE = "▁", "Ġ"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_CONTINUATION = "##"


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a tokenizer.

    names: by id, as the tokenizer has them; None where an id has no token.
    added: ids of tokens that stand for themselves, control tokens among them.
    roles: ids by what they are for: bos, eos, unk, pad, sep, mask, cls.
    """

    library: tokenizers.Tokenizer
    kind: Kind
    names: tuple[str | None, ...]
    added: frozenset[int]
    roles: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """The id of each name."""
        return {name: token for token, name in enumerate(self.names) if name is not None}

    @cached_property
    def forms(self) -> tuple[str | None, ...]:
        """By id, the text that a token stands for: a word begins with a space, bytes that are no text are surrogates.

        So tokens are compared across kinds: `▁дом`, `Ġдом` in bytes, and WordPiece's `дом` are all " дом". Source: OFA,
        https://arxiv.org/abs/2311.08849, section 3.2, which compares incomplete bytes as one unknown character instead.
        """
        return tuple(None if name is None else self._form(token, name) for token, name in enumerate(self.names))

    @cached_property
    def by_form(self) -> Mapping[str, int]:
        """The id of each form; of several the first, and one that is spelled before a byte by its number."""
        found: dict[str, int] = {}
        spelled = (token for token, name in enumerate(self.names) if name and not _BYTE.fullmatch(name))
        for token in (*spelled, *range(len(self))):
            if (form := self.forms[token]) is not None:
                found.setdefault(form, token)
        return found

    def shown(self, token: int) -> str:
        """The text of a token for a person; bytes that are none are written by their numbers."""
        form = self.forms[token] or ""
        return form.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    @property
    def word_start(self) -> str:
        """What names of tokens begin with where they begin a word; empty where nothing marks that."""
        return {"gpt2": _BYTE_SPACE, "bert": ""}.get(self.kind, _SPACE)

    @property
    def unknown(self) -> int | None:
        """The token for text that has none."""
        return self.roles.get("unk")

    def encode_plain(self, text: str) -> list[int]:
        """Ids of a text without what belongs around it."""
        return list(self.library.encode(text, add_special_tokens=False).ids)

    def pieces(self, text: str) -> list[int]:
        """The same; none where the text has what is unknown."""
        found = self.encode_plain(text)
        return [] if self.unknown in found else found

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        return list(self.library.encode(text).ids)

    def _form(self, token: int, name: str) -> str:
        if token in self.added:
            return name
        match self.kind:
            case "gpt2":
                return bytes_of(name).decode("utf-8", "surrogateescape")
            case "bert":
                return name.removeprefix(_CONTINUATION) if name.startswith(_CONTINUATION) else f" {name}"
        if found := _BYTE.fullmatch(name):
            return bytes([int(found[1], 16)]).decode("utf-8", "surrogateescape")
        return name.replace(_SPACE, " ")


def vocabulary_in(checkpoint: Checkpoint, source: TokenizerSource) -> Vocabulary:
    """The tokens of the tokenizer of a checkpoint, with the roles that its files name.

    Raises:
        ConversionRefused: as `vocabulary_of`.
    """
    named = named_tokens(checkpoint, source.library())
    return vocabulary_of(source, {role: ids[0] for role, ids in named.items() if ids})


def vocabulary_of(source: TokenizerSource, roles: Mapping[str, int]) -> Vocabulary:
    """The tokens of a tokenizer; `roles` are those that its files name, the others are known by their usual names.

    Raises:
        ConversionRefused: it is damaged, has no tokens, or is of a kind that llama.cpp has not.
    """
    library = source.library()
    spec: dict[str, Any] = json.loads(source.text)
    kind = kind_of(spec, source.where)
    ids = library.get_vocab(with_added_tokens=True)
    if not ids:
        raise ConversionRefused(f"{source.where} has no tokens.", remedy="Give a trained tokenizer.")
    names: list[str | None] = [None] * (max(ids.values()) + 1)
    for name, token in ids.items():
        names[token] = name
    added = {each["id"]: each for each in spec.get("added_tokens", [])}
    special = {token for token, each in added.items() if each["special"]} | _unknown(spec, ids)
    usual = {role: ids[name] for role, known in _USUAL.items() for name in known[::-1] if ids.get(name) in special}
    known = {role: token for role, token in roles.items() if token < len(names)}
    return Vocabulary(library, kind, tuple(names), frozenset(added) | special, usual | known)


def _unknown(spec: Mapping[str, Any], ids: Mapping[str, int]) -> set[int]:
    model = spec["model"]
    found = ids.get(model["unk_token"]) if model.get("unk_token") else model.get("unk_id")
    return {found} if isinstance(found, int) else set()


# What tokens of a role are called where no file says which they are, the likeliest first.
_USUAL = {
    "bos": ("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>"),
    "eos": ("</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"),
    "unk": ("<unk>", "[UNK]", "<|endoftext|>"),
    "pad": ("<pad>", "[PAD]"),
    "sep": ("[SEP]",),
    "cls": ("[CLS]",),
    "mask": ("<mask>", "[MASK]"),
}
