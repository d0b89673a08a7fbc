"""Which tokens languages want, and how much: counted in corpora, or in what stands in for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import regex

from converters.adapt.closure import Closure
from converters.adapt.texts import Corpus, held_out_of
from converters.adapt.vocabulary import NORMAL, Vocabulary
from converters.adapt.words import letters_of, words_of
from converters.progress import StepProgress
from runtime.errors import InvalidRequest
from runtime.language.scripts import foreign_characters
from runtime.text.tokenizer import Tokenizer

Origin = Literal["corpus", "words", "letters", "scripts"]
Encode = Callable[[str], Sequence[int]]
# Beside those that the corpora, or a list's words, hold; a token is worth what the first ones are by Zipf's law.
_ZIPF_OFFSET = 1000
_LETTER = regex.compile(r"\p{L}|\p{M}")


@dataclass(frozen=True)
class Source:
    """What one language, or one text, wants.

    shares: how often it wants each token, by all its tokens; shape (vocabulary).
    singletons: how many tokens were seen once; None where nothing was counted.
    held_out: lines that were not counted.
    """

    name: str
    origin: Origin
    shares: npt.NDArray[np.float64]
    num_tokens: int
    singletons: int | None
    held_out: tuple[str, ...]

    @property
    def missing_share(self) -> float | None:
        """The share of the tokens of such texts that was never seen, by Good and Turing: singletons by tokens."""
        return None if self.singletons is None else self.singletons / self.num_tokens


def gather(
    corpora: Sequence[Corpus],
    languages: Sequence[str],
    scripts: Sequence[str],
    vocabulary: Vocabulary,
    closure: Closure,
    tokenizer: Tokenizer,
    progress: StepProgress,
) -> list[Source]:
    """What all that was named wants. A language takes words and letters where no corpus is given for it.

    Raises:
        InvalidRequest: nothing was named, or there is nothing to tell what a language wants.
        ConfigurationInvalid: words are needed, and the package that lists them is not installed.
    """

    def encode(text: str) -> Sequence[int]:
        return tokenizer.encode(text, parse_special=False)

    is_open = any(corpus.language is None for corpus in corpora)
    named = {corpus.language for corpus in corpora}
    others = [] if is_open else [language for language in languages if language not in named]
    sources: list[Source] = []
    progress.start("Counting tokens", len(corpora) + len(others) or 1)
    try:
        for corpus in corpora:
            sources.append(_counted(corpus, len(vocabulary), encode))
            progress.advance()
        for language in others:
            sources.append(_stand_in(language, vocabulary, closure, tokenizer, encode))
            progress.advance()
        if not sources and scripts:
            sources.append(_of_scripts(scripts, vocabulary, closure, tokenizer))
            progress.advance()
    finally:
        progress.finish()
    if not sources:
        raise InvalidRequest(
            "Nothing says which tokens to keep.", remedy="Name languages (--languages), a corpus, or scripts."
        )
    return sources


def letter_tokens(languages: Iterable[str], encode: Encode) -> set[int]:
    """The tokens of the letters of languages, by themselves and as the first of a word."""
    found: set[int] = set()
    for language in languages:
        for letter in letters_of(language):
            found |= {*encode(letter), *encode(f" {letter}")}
    return found


def fits_scripts(tokenizer: Tokenizer, scripts: Sequence[str]) -> Callable[[int], bool]:
    """Whether a token has letters of `scripts` alone; all tokens do where none are named."""
    if not scripts:
        return lambda _: True
    return lambda token: not foreign_characters(_text(tokenizer, token), scripts)


def _counted(corpus: Corpus, num_tokens: int, encode: Encode) -> Source:
    counts: Counter[int] = Counter()
    around = Counter(encode(""))
    for text in corpus.counted:
        counts.update(encode(text))
        counts.subtract(around)
    counts = +counts
    array = np.zeros(num_tokens)
    array[list(counts)] = list(counts.values())
    singletons = sum(count == 1 for count in counts.values())
    return Source(corpus.name, "corpus", array / array.sum(), counts.total(), singletons, corpus.held_out)


def _stand_in(
    language: str, vocabulary: Vocabulary, closure: Closure, tokenizer: Tokenizer, encode: Encode
) -> Source:
    weights = np.zeros(len(vocabulary))
    around = set(encode(""))
    for text, weight in words_of(language):
        for token, count in Counter(encode(text)).items():
            weights[token] += weight * count
    weights[list(around)] = 0
    held_out = held_out_of(language)
    if weights.any():
        return Source(language, "words", weights / weights.sum(), 0, None, held_out)
    letters = letters_of(language)
    if not letters:
        raise InvalidRequest(
            f"There is neither a list of words nor an alphabet of {language} here.",
            remedy=f"Bring text in it, some megabytes in UTF-8: --corpus {language}=FILE.",
            param="--languages",
        )
    return Source(language, "letters", _written_with(letters, vocabulary, closure, tokenizer), 0, None, held_out)


def _written_with(
    letters: frozenset[str], vocabulary: Vocabulary, closure: Closure, tokenizer: Tokenizer
) -> npt.NDArray[np.float64]:
    """All tokens with these letters and no others; the order of the vocabulary stands for how frequent they are."""

    def fits(token: int) -> bool:
        found = _LETTER.findall(_text(tokenizer, token))
        return bool(found) and all(letter in letters for letter in found)

    return _by_order(fits, vocabulary, closure)


def _of_scripts(
    scripts: Sequence[str], vocabulary: Vocabulary, closure: Closure, tokenizer: Tokenizer
) -> Source:
    shares = _by_order(fits_scripts(tokenizer, scripts), vocabulary, closure)
    return Source("+".join(scripts), "scripts", shares, 0, None, ())


def _by_order(
    fits: Callable[[int], bool], vocabulary: Vocabulary, closure: Closure
) -> npt.NDArray[np.float64]:
    found = [
        token
        for token, kind in enumerate(vocabulary.types)
        if kind == NORMAL and fits(token) and closure.is_reachable(token)
    ]
    weights = np.zeros(len(vocabulary))
    if vocabulary.kind == "unigram":
        weights[found] = np.exp([vocabulary.scores[token] for token in found])
    else:
        weights[found] = 1 / (_ZIPF_OFFSET + np.arange(len(found)))
    return weights / (weights.sum() or 1)


def _text(tokenizer: Tokenizer, token: int) -> str:
    """What a token stands for; a part of a character is left out."""
    return tokenizer.token_bytes(token).decode("utf-8", "ignore")
