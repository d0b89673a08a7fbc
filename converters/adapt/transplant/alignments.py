"""Which old tokens a new one translates to, counted in a table of words that were aligned in parallel text.

Source: trans-tokenization, https://arxiv.org/abs/2408.04303, `map_tokens`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from converters.adapt.transplant.vocabulary import Vocabulary
from runtime.errors import ConversionRefused, InvalidRequest

# By new token: how often it stood for each old one.
Counts: TypeAlias = dict[int, dict[int, int]]

MIN_COUNT = 10
# Between the tokens of a word, in the table.
GLUE = "—"
_EMPTY = "<eps>"
_FORM = "It has a line of four columns, parted by tabs, for each pair: old word, new word, log probability, count."


@dataclass(frozen=True)
class Alignment:
    """A pair of words, the tokens of each joined by `GLUE`, and how often they were aligned."""

    old: str
    new: str
    count: int


def read_alignments(path: Path) -> Iterator[Alignment]:
    """The pairs in a table that fast_align writes (`-p`), without those of `<eps>` or seen less than `MIN_COUNT` times.

    Raises:
        InvalidRequest: there is no such file, or it is no such table.
    """
    if not path.is_file():
        raise InvalidRequest(f"There is no file {path}.", remedy=_FORM)
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                old, new, _, stored = line.rstrip("\r\n").split("\t")
                count = int(float(stored))
            except (ValueError, OverflowError) as fault:
                raise InvalidRequest(f"{path} is no table of alignments in line {number}.", remedy=_FORM) from fault
            if _EMPTY not in (old, new) and count >= MIN_COUNT:
                yield Alignment(old, new, count)


def _parts(word: str, vocabulary: Vocabulary) -> list[str]:
    """The tokens of a word, which may be one with a dash in it."""
    return [word] if word in vocabulary.ids else word.split(GLUE)


def count_tokens(alignments: Iterator[Alignment], old: Vocabulary, new: Vocabulary, where: str) -> Counts:
    """How often each new token stood for each old one.

    Words that are a token on both sides count as they are. Of others half goes to all pairs of their parts, half to
    those at the same place, for which the parts of each are repeated to a common length. Parts that are no tokens are
    left out.

    Raises:
        ConversionRefused: no word is made of both vocabularies' tokens.
    """
    counts: Counts = {}

    def add(new_part: str, old_part: str, count: int) -> None:
        if new_part in new.ids and old_part in old.ids:
            of_token = counts.setdefault(new.ids[new_part], {})
            of_token[old.ids[old_part]] = of_token.get(old.ids[old_part], 0) + count

    for each in alignments:
        old_parts, new_parts = _parts(each.old, old), _parts(each.new, new)
        if len(old_parts) == len(new_parts) == 1:
            add(new_parts[0], old_parts[0], each.count)
            continue
        half = max(1, each.count // 2)
        for new_part in new_parts:
            for old_part in old_parts:
                add(new_part, old_part, max(1, half // len(old_parts)))
        length = math.lcm(len(old_parts), len(new_parts))
        of_old, of_new = length // len(old_parts), length // len(new_parts)
        for at in range(length):
            add(new_parts[at // of_new], old_parts[at // of_old], max(1, half // of_new))
    if not counts:
        raise ConversionRefused(
            f"{where} has no words that are made of tokens of both tokenizers, and at least {MIN_COUNT} times aligned.",
            remedy="Align text that both tokenizers have cut, the tokens of a word joined by '—'.",
        )
    return counts
