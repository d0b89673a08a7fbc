"""What stands in for a corpus: how often each word of a language occurs, and its letters.

Frequencies are those of the package wordfreq (Robyn Speer, https://github.com/rspeer/wordfreq; data CC BY-SA 4.0),
letters those of Unicode's CLDR in `converters/corpus/exemplars.toml`.
"""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from runtime.errors import ConfigurationInvalid

_EXEMPLARS = Path(__file__).parents[1] / "corpus" / "exemplars.toml"
# wordfreq lists Serbian, Croatian and Bosnian as one.
_JOINED = {"srp": "sh", "hrv": "sh", "bos": "sh", "tgl": "fil", "nno": "nb"}
# How often a word is written so: after a space and, in many texts, at the beginning of a line.
_FORMS = ((" {}", 0.7), ("{}", 0.1))
_CAPITALS = 0.2


def words_of(language: str) -> Iterator[tuple[str, float]]:
    """Texts with how often they occur, for a language such as `bul_Cyrl`; nothing where its words are not known.

    A text has words of one frequency, a line each: wordfreq knows them to a hundredth of a decade. The list is the one
    that it has for all its languages: the words that occur at least once in a million.

    Raises:
        ConfigurationInvalid: the package is not installed.
    """
    if importlib.util.find_spec("wordfreq") is None:
        raise ConfigurationInvalid(
            "Trimming without a corpus needs the package wordfreq, which is not installed here.",
            remedy="Install the extra: pip install 'demotic[trim]', or give a corpus: --corpus FILE.",
        )
    import wordfreq

    code = _wordfreq_code(language, frozenset(wordfreq.available_languages()))
    if code is None:
        return
    for bucket, words in enumerate(wordfreq.get_frequency_list(code, "small")):
        frequency = 10 ** (-bucket / 100)
        for pattern, share in _FORMS:
            for write, part in ((str, 1 - _CAPITALS), (_capitalised, _CAPITALS)):
                lines = [pattern.format(write(word)) for word in words]
                if lines:
                    yield "\n".join(lines), frequency * share * part


def _capitalised(word: str) -> str:
    return word[:1].upper() + word[1:]


def _wordfreq_code(language: str, available: frozenset[str]) -> str | None:
    import langcodes

    code, _, script = language.partition("_")
    short = _JOINED.get(code) or langcodes.Language.get(code).language or code
    if short not in available:
        short = langcodes.standardize_tag(code, macro=True)
    if short not in available:
        return None
    # Its words are in the script that the language is mostly written in; Serbian's are in Latin there.
    main = "Latn" if short == "sh" else langcodes.Language.get(code).maximize().script
    return short if script in {main, "Hant" if main == "Hans" else main, "Hang" if main == "Kore" else main} else None


@lru_cache(maxsize=1)
def _exemplars() -> dict[str, str]:
    lines: dict[str, str] = tomllib.loads(_EXEMPLARS.read_text(encoding="utf-8"))
    return lines


def letters_of(language: str) -> frozenset[str]:
    """The letters of a language, small and capital; none where CLDR does not know them."""
    letters = _exemplars().get(language, "")
    return frozenset(letters) | frozenset(letters.upper()) | frozenset(letters.title())
