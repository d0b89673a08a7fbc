"""Which tokens languages want, and how much: counted in corpora, or in what stands in for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import regex

from converters.adapt.closure import Closure
from converters.adapt.required import read_inside
from converters.adapt.texts import Corpus, held_out_of
from converters.adapt.vocabulary import NORMAL, Vocabulary
from converters.adapt.words import letters_of, words_of
from converters.progress import StepProgress
from runtime.errors import InvalidRequest
from runtime.language.scripts import foreign_characters
from runtime.text.tokenizer import Tokenizer

Origin = Literal["corpus", "words", "letters", "scripts"]
Encode = Callable[[str], Sequence[int]]
# Where the order of the vocabulary stands for how frequent tokens are, by Zipf's law.
_ZIPF_OFFSET = 1000
_LETTER = regex.compile(r"\p{L}|\p{M}")
# Lists of words have none of it, and texts are full of it.
_PUNCTUATION = regex.compile(r"[\p{P}\p{Sm}\p{Sc}\p{Sk}\p{Nd}]{1,2}")


@dataclass(frozen=True)
class Source:
    """What one language, or one text, wants.

    shares: how often it wants each token, by all its tokens; shape (vocabulary).
    also: tokens that it wants after all others.
    num_tokens, singletons: how many tokens were counted, and how many of the vocabulary were seen once.
    held_out: lines that were not counted.
    """

    name: str
    origin: Origin
    shares: npt.NDArray[np.float64]
    also: frozenset[int] = frozenset()
    num_tokens: int = 0
    singletons: int = 0
    held_out: tuple[str, ...] = ()

    @property
    def missing_share(self) -> float | None:
        """The share of the tokens of such texts that was never seen, by Good and Turing: singletons by tokens."""
        return self.singletons / self.num_tokens if self.num_tokens else None


class Reader:
    """A vocabulary with what reads texts by it."""

    def __init__(self, vocabulary: Vocabulary, closure: Closure, tokenizer: Tokenizer) -> None:
        self.vocabulary = vocabulary
        self.closure = closure
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """The ids of a text by itself."""
        return self._tokenizer.encode(text, parse_special=False)

    def encode_inside(self, text: str) -> list[int]:
        """The ids of a text that others stand before."""
        return read_inside(text, self.vocabulary, self._tokenizer, parse_special=False)

    def text(self, token: int) -> str:
        """What a token stands for; a part of a character is left out."""
        return self._texts[token]

    @cached_property
    def _texts(self) -> list[str]:
        tokens = range(len(self.vocabulary))
        return [self._tokenizer.token_bytes(token).decode("utf-8", "ignore") for token in tokens]

    def choose(self, fits: Callable[[str], bool]) -> list[int]:
        """The plain tokens whose text `fits`, and which a text can hold."""
        return [
            token
            for token, kind in enumerate(self.vocabulary.types)
            if kind == NORMAL and fits(self.text(token)) and self.closure.is_reachable(token)
        ]


def gather(
    corpora: Sequence[Corpus], languages: Sequence[str], scripts: Sequence[str], reader: Reader, progress: StepProgress
) -> list[Source]:
    """What all that was named wants. A language takes words and letters where no corpus is given for it.

    Raises:
        InvalidRequest: nothing was named, or there is nothing to tell what a language wants.
        ConfigurationInvalid: words are needed, and the package that lists them is not installed.
    """
    is_open = any(corpus.language is None for corpus in corpora)
    named = {corpus.language for corpus in corpora}
    others = [] if is_open else [language for language in languages if language not in named]
    sources: list[Source] = []
    progress.start("Counting tokens", len(corpora) + len(others) or 1)
    try:
        for corpus in corpora:
            spoken = languages if corpus.language is None else [corpus.language]
            sources.append(_counted(corpus, spoken, reader))
            progress.advance()
        for language in others:
            sources.append(_stand_in(language, reader))
            progress.advance()
        if not sources and scripts:
            chosen = reader.choose(lambda text: not foreign_characters(text, scripts))
            sources.append(Source("+".join(scripts), "scripts", _by_order(chosen, reader.vocabulary)))
            progress.advance()
    finally:
        progress.finish()
    if not sources:
        raise InvalidRequest(
            "Nothing says which tokens to keep.", remedy="Name languages (--languages), a corpus, or scripts."
        )
    return sources


def _letter_tokens(language: str, reader: Reader) -> frozenset[int]:
    """The tokens of the letters of a language, by themselves and as the first of a word."""
    return frozenset(
        token
        for letter in letters_of(language)
        for text in (letter, f" {letter}")
        for token in reader.encode_inside(text)
    )


def fits_scripts(reader: Reader, scripts: Sequence[str]) -> Callable[[int], bool]:
    """Whether a token has letters of `scripts` alone; all tokens do where none are named."""
    if not scripts:
        return lambda _: True
    return lambda token: not foreign_characters(reader.text(token), scripts)


def _counted(corpus: Corpus, languages: Sequence[str], reader: Reader) -> Source:
    counts: Counter[int] = Counter()
    around = Counter(reader.encode(""))
    for text in corpus.counted:
        counts.update(reader.encode(text))
        counts.subtract(around)
    counts = +counts
    array = np.zeros(len(reader.vocabulary))
    array[list(counts)] = list(counts.values())
    return Source(
        corpus.name,
        "corpus",
        array / array.sum(),
        also=frozenset().union(*(_letter_tokens(language, reader) for language in languages)),
        num_tokens=counts.total(),
        singletons=sum(count == 1 for count in counts.values()),
        held_out=corpus.held_out,
    )


def _stand_in(language: str, reader: Reader) -> Source:
    """What a language wants by its words and letters.

    In Latin script letters say nothing, since almost every vocabulary is mostly of them.
    """
    weights = np.zeros(len(reader.vocabulary))
    for text, weight in words_of(language):
        for token, count in Counter(reader.encode(text)).items():
            weights[token] += weight * count
    weights[reader.encode("")] = 0
    letters = letters_of(language)
    if not letters and not weights.any():
        raise InvalidRequest(
            f"There is neither a list of words nor an alphabet of {language} here.",
            remedy=f"Bring text in it, some megabytes in UTF-8: --corpus {language}=FILE.",
            param="--languages",
        )
    also = _letter_tokens(language, reader) | frozenset(
        reader.choose(lambda text: _PUNCTUATION.fullmatch(text.strip()) is not None)
    )
    if weights.any() and language.endswith("_Latn"):
        written: list[int] = []
    else:
        written = reader.choose(lambda text: _is_written_with(letters, text))
    if weights.any():
        return Source(language, "words", weights / weights.sum(), also.union(written), held_out=held_out_of(language))
    shares = _by_order(written, reader.vocabulary)
    return Source(language, "letters", shares, also, held_out=held_out_of(language))


def _is_written_with(letters: frozenset[str], text: str) -> bool:
    found = _LETTER.findall(text)
    return bool(found) and all(letter in letters for letter in found)


def _by_order(chosen: Sequence[int], vocabulary: Vocabulary) -> npt.NDArray[np.float64]:
    """Shares by scores, or else by the order of the vocabulary."""
    weights = np.zeros(len(vocabulary))
    if vocabulary.kind == "unigram":
        weights[chosen] = np.exp([vocabulary.scores[token] for token in chosen])
    else:
        weights[chosen] = 1 / (_ZIPF_OFFSET + np.arange(len(chosen)))
    return weights / (weights.sum() or 1)
