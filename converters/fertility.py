"""Fertility: how many tokens a tokenizer needs for the same sentences in each language.

Fertility is tokens by word; where a script has no spaces between words, by character as a reader counts them. Parity is
the number of tokens by that of English (Petrov et al. 2023, https://arxiv.org/abs/2305.15425).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from converters.probes import DECLARATION

_REFERENCE = "eng_Latn"
# In which words are not told apart, or only some of them.
_WITHOUT_SPACES = frozenset("Hani Hans Hant Java Jpan Khmr Lana Laoo Mymr Thai Tibt Yiii".split())
_SPACES = regex.compile(r"[\s\N{ETHIOPIC WORDSPACE}]+")
_GRAPHEME = regex.compile(r"\X")


@dataclass(frozen=True)
class Fertility:
    """One language's line: its `tokens`, without what stands around a text, and what these are compared with.

    words: None where the script has no spaces between them.
    characters: grapheme clusters (UAX #29).
    parity: `tokens` by those of the English line.
    """

    tokens: int
    words: int | None
    characters: int
    parity: float

    @property
    def value(self) -> float:
        """Tokens by word, or by character where there are no words."""
        return self.tokens / (self.words or self.characters)


def measure(encode: Callable[[str], Sequence[int]]) -> dict[str, Fertility]:
    """The fertility of a tokenizer, `encode`, by language, the best parity first."""
    around = len(encode(""))
    counts = {language: len(encode(text)) - around for language, text in DECLARATION.items()}
    found = {
        language: Fertility(
            count, num_words(language, DECLARATION[language]), num_characters(DECLARATION[language]), parity
        )
        for language, count in counts.items()
        for parity in [round(count / max(1, counts[_REFERENCE]), 2)]
    }
    return dict(sorted(found.items(), key=lambda each: each[1].parity))


def num_words(language: str, text: str) -> int | None:
    """How many words a text has; None where the language's script does not part them by spaces."""
    if language.rpartition("_")[2] in _WITHOUT_SPACES:
        return None
    return len([word for word in _SPACES.split(text) if word])


def num_characters(text: str) -> int:
    """How many characters it has as a reader counts them: grapheme clusters (UAX #29)."""
    return len(_GRAPHEME.findall(text))


def as_cells(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of figures as a manifest has them a cell a language: fertility, with a c where it is by character, and parity."""
    return [_cell(language, Fertility(**each)) for language, each in figures.items()]


def _cell(language: str, figures: Fertility) -> str:
    value = f"{figures.value:4.1f} " if figures.words else f"{figures.value:4.2f}c"
    return f"{language} {value} {figures.parity:3.1f}x"
