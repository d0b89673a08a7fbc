"""Words, sentences and relations, in any script that can be counted without a dictionary.

A character of Chinese, Japanese or Korean counts as a word where the text is Chinese or Japanese, as in Multi-IF; else
words are runs of letters, marks and digits. Sentences end where a translator would cut them.
"""

from __future__ import annotations

import regex

from runtime.language.scripts import main_scripts
from runtime.translation.segments import pieces_of

_WORD = regex.compile(r"\w+")
_HYPHENED = regex.compile(r"\w+(?:[-'’]\w+)*")
_CHARACTER = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]")
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")
_COUNTED_BY_CHARACTER = frozenset({"Hans", "Hant", "Hani", "Jpan"})


def num_words(text: str) -> int:
    """How many words there are."""
    if not _COUNTED_BY_CHARACTER.intersection(main_scripts(text)):
        return len(_WORD.findall(text))
    return len(_CHARACTER.findall(text)) + len(_WORD.findall(_CHARACTER.sub(" ", text)))


def num_sentences(text: str) -> int:
    """How many sentences there are; a line break ends one."""
    return sum(not piece.is_kept for piece in pieces_of(text, most=max(1, len(text))))


def words_of(text: str) -> list[str]:
    """The words, those with hyphens and apostrophes whole."""
    return _HYPHENED.findall(text)


def occurrences(word: str, text: str, *, is_whole: bool) -> int:
    """How often `word` stands in `text`, in any case; `is_whole`: not as part of a longer word, where that shows."""
    edge = r"\b" if is_whole and not _UNSPACED.search(word) else ""
    return len(regex.findall(rf"{edge}{regex.escape(word.strip())}{edge}", text, flags=regex.IGNORECASE))


def holds(count: int, relation: str, wanted: int) -> bool:
    """Whether `count` is less than, or at least, what is wanted."""
    return count < wanted if relation == "less than" else count >= wanted
