"""A trimmed vocabulary held against the original on text that was not counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from converters.adapt.vocabulary import BYTE, UNKNOWN, Vocabulary

# The characters of byte-level BPE for bytes that are no ASCII; one of them alone is a part of a character.
_FIRST_OTHER_BYTE = 0x7F
# What a token is that the trimmed model has no row for.
_NO_ROW = -1


class Reads(Protocol):
    """What reads texts."""

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """Ids of a text, with what belongs around it."""


@dataclass(frozen=True)
class HeldOut:
    """What lines cost before and after.

    num_kept: how many of the tokens before are kept.
    fallbacks: tokens that stand for a byte of a character or for something unknown, before and after.
    num_covered: lines whose tokens are all kept; num_differing of these are read otherwise than before.
    """

    num_lines: int
    num_characters: int
    num_tokens: tuple[int, int]
    num_kept: int
    fallbacks: tuple[int, int]
    num_covered: int
    num_differing: int

    @property
    def coverage(self) -> float:
        """The share of the tokens before that are kept."""
        return self.num_kept / (self.num_tokens[0] or 1)

    @property
    def growth(self) -> float:
        """By which share there are more tokens."""
        return self.num_tokens[1] / (self.num_tokens[0] or 1) - 1


def hold(
    lines: Iterable[str],
    before: Reads,
    after: Reads,
    kept: npt.NDArray[np.int64],
    new_ids: Mapping[int, int],
    fallbacks: frozenset[int],
) -> HeldOut:
    """Read `lines` with both; `fallbacks` are those of the original's tokens that stand for parts or the unknown."""
    rows = kept.tolist()
    around = len(before.encode("", parse_special=False))
    characters = tokens_before = tokens_after = num_kept = fallbacks_before = fallbacks_after = 0
    covered = differing = count = 0
    for line in lines:
        old = before.encode(line, parse_special=False)
        read = after.encode(line, parse_special=False)
        new = [rows[token] if token < len(rows) else _NO_ROW for token in read]
        stay = sum(token in new_ids for token in old)
        count += 1
        characters += len(line)
        tokens_before += len(old) - around
        tokens_after += len(new) - around
        num_kept += stay - around
        fallbacks_before += sum(token in fallbacks for token in old)
        fallbacks_after += sum(token in fallbacks for token in new)
        if stay == len(old):
            covered += 1
            differing += new != old
    return HeldOut(
        count,
        characters,
        (tokens_before, tokens_after),
        num_kept,
        (fallbacks_before, fallbacks_after),
        covered,
        differing,
    )


def fallback_tokens(vocabulary: Vocabulary) -> frozenset[int]:
    """The tokens of single bytes that are no character, and the unknown one."""
    return frozenset(
        token
        for token, (piece, kind) in enumerate(zip(vocabulary.pieces, vocabulary.types, strict=True))
        if kind in {BYTE, UNKNOWN}
        or piece in {"<unk>", "[UNK]"}
        or (vocabulary.kind == "bpe" and len(piece) == 1 and ord(piece) >= _FIRST_OTHER_BYTE)
    )
