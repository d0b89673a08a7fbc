"""Which language a text is in: first by its script, which is exact, then among the languages of that script.

The second is py3langid's, a naive Bayes classifier over byte n-grams of 140 languages, whose model is in its package.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import regex

from runtime.language.codes import Language, parse
from runtime.language.scripts import script_of

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier  # type: ignore[import-untyped]  # it has no types

# What is read of a text: more would change the verdict seldom, and costs a millisecond a thousand characters.
MAX_CHARS = 2000
# A part that has less of a text's letters is a name or a quotation, and does not make the text mixed.
_LEAST_SHARE = 0.1
# A sentence of another language than the rest of its script must have so many letters, and be so certain.
_LEAST_LETTERS, _LEAST_CONFIDENCE = 20, 0.7
# From here on a verdict is one to act on.
CONFIDENT = 0.45
# A character of these says as much as so many letters of an alphabet.
_WEIGHTS = {"Hani": 3, "Jpan": 2, "Hang": 2, "Ethi": 2, "Yiii": 3}

_RUNS = regex.compile(r"\p{L}[\p{L}\p{M}'’]*")
_SENTENCES = regex.compile(r"[^.!?…。！？।؟\n]+[.!?…。！？।؟\n]*")
# Scripts of which this program knows one language of today; there is nothing to classify.
_ONE_LANGUAGE = {
    "Armn": "hye",
    "Cans": "iku",
    "Cher": "chr",
    "Ethi": "amh",
    "Geor": "kat",
    "Grek": "ell",
    "Gujr": "guj",
    "Guru": "pan",
    "Hang": "kor",
    "Hebr": "heb",
    "Jpan": "jpn",
    "Khmr": "khm",
    "Knda": "kan",
    "Laoo": "lao",
    "Mlym": "mal",
    "Mong": "khk",
    "Mymr": "mya",
    "Nkoo": "nqo",
    "Olck": "sat",
    "Orya": "ory",
    "Sinh": "sin",
    "Taml": "tam",
    "Telu": "tel",
    "Tfng": "zgh",
    "Thaa": "div",
    "Thai": "tha",
    "Tibt": "bod",
    "Vaii": "vai",
    "Yiii": "iii",
}
# Scripts of which the classifier knows several languages.
_CLASSIFIED = frozenset({"Arab", "Beng", "Cyrl", "Deva", "Latn"})
# Languages of the classifier that are written in a second script as well.
_SECOND_SCRIPTS = {"az": "Cyrl", "bs": "Cyrl", "crh": "Cyrl", "ku": "Arab", "sr": "Latn", "uz": "Cyrl"}
# Its labels that are no living language, or none at all.
_NOT_LIVING = frozenset({"grc", "hbo", "zxx"})


@dataclass(frozen=True)
class Part:
    """What of a text is in one language: its share of the letters, and how sure the verdict is, both from 0 to 1."""

    language: Language
    share: float
    confidence: float


@dataclass(frozen=True)
class Detection:
    """The languages that a text is in, the one with the largest share first; none where it has no letters.

    A character of Chinese, Japanese or Korean counts as two or three letters: it says as much.
    """

    parts: tuple[Part, ...] = ()

    @property
    def language(self) -> Language | None:
        """The main one."""
        return self.parts[0].language if self.parts else None

    @property
    def confidence(self) -> float:
        """How sure that is, from 0 to 1."""
        return self.parts[0].confidence if self.parts else 0.0

    @property
    def is_mixed(self) -> bool:
        """Whether other languages have a share worth naming."""
        return len(self.parts) > 1

    @property
    def is_confident(self) -> bool:
        """Whether the main language is sure enough to act on."""
        return self.confidence >= CONFIDENT


def detect(text: str) -> Detection:
    """The languages of `text`, judged by its first `MAX_CHARS` characters.

    The first verdict on a script of several languages loads the classifier: about a second, and 75 MB of memory.
    """
    by_script = _by_script(text[:MAX_CHARS])
    total = sum(_weight(script, sentences) for script, sentences in by_script.items())
    parts = [
        Part(language, share, confidence)
        for script, sentences in by_script.items()
        if _weight(script, sentences) >= _LEAST_SHARE * total
        for language, confidence, weight in _of_script(script, sentences)
        if (share := round(weight / total, 3)) >= _LEAST_SHARE
    ]
    # A name or a piece of code is no language that the text is in, where another one is plain.
    sure = [part for part in parts if part.confidence >= CONFIDENT] or parts
    return Detection(tuple(sorted(sure, key=lambda part: part.share, reverse=True)))


def _by_script(text: str) -> dict[str, list[str]]:
    """The sentences of each script in `text`: the words of each sentence that are in that script."""
    sentences: dict[str, list[str]] = defaultdict(list)
    for sentence in _SENTENCES.findall(text):
        words: dict[str, list[str]] = defaultdict(list)
        for word in _RUNS.findall(sentence):
            for script, run in _runs(word):
                words[script].append(run)
        for script, found in words.items():
            sentences[script].append(" ".join(found))
    if "Hira" in sentences or "Kana" in sentences:
        return _join_japanese(sentences)
    return dict(sentences)


def _runs(word: str) -> list[tuple[str, str]]:
    """`word` in pieces of one script each; what several scripts share goes with what is before it."""
    runs: list[tuple[str, str]] = []
    for char in word:
        script = script_of(char)
        if runs and script in {None, runs[-1][0]}:
            runs[-1] = runs[-1][0], runs[-1][1] + char
        elif script is not None:
            runs.append((script, char))
    return runs


def _join_japanese(sentences: dict[str, list[str]]) -> dict[str, list[str]]:
    """Kana make the Han characters beside them Japanese; without them these are taken for Chinese."""
    joined = {script: texts for script, texts in sentences.items() if script not in {"Hira", "Kana", "Hani"}}
    joined["Jpan"] = [text for script in ("Hira", "Kana", "Hani") for text in sentences.get(script, [])]
    return joined


def _weight(script: str, texts: list[str]) -> int:
    """Letters of `texts`, all in one script, in units of an alphabet's."""
    return _WEIGHTS.get(script, 1) * sum(len(text) - text.count(" ") for text in texts)


def _of_script(script: str, sentences: list[str]) -> list[tuple[Language, float, int]]:
    """The languages of sentences in one script, each with how sure that is and with its weight."""
    if script in _ONE_LANGUAGE:
        return [(Language(_ONE_LANGUAGE[script], script), 1.0, _weight(script, sentences))]
    if script == "Hani":
        return [(Language("zho", _variant_of_han("".join(sentences))), 1.0, _weight(script, sentences))]
    if script not in _CLASSIFIED:
        return []
    main, confidence = _classify(script, " ".join(sentences))
    if main is None:
        return []
    counts: Counter[str] = Counter()
    sureness: dict[str, float] = {main: confidence}
    for sentence in sentences:
        label, sure = main, 0.0
        if len(sentence) >= _LEAST_LETTERS and len(sentences) > 1:
            found, certainty = _classify(script, sentence)
            if found is not None and certainty >= _LEAST_CONFIDENCE:
                label, sure = found, certainty
        counts[label] += _weight(script, [sentence])
        sureness[label] = max(sureness.get(label, 0.0), sure)
    return [(_language(label, script), round(sureness[label], 3), count) for label, count in counts.items()]


def _variant_of_han(text: str) -> str:
    """Simplified or traditional: which of the two old encodings has the characters that the other one lacks."""
    simplified = sum(_can_encode(char, "gb2312") and not _can_encode(char, "big5") for char in text)
    traditional = sum(_can_encode(char, "big5") and not _can_encode(char, "gb2312") for char in text)
    return "Hant" if traditional > simplified else "Hans"


def _can_encode(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _classify(script: str, text: str) -> tuple[str | None, float]:
    """The classifier's label for `text` among those of `script`, and its probability among them."""
    wanted = _labels_of(script)
    ranked = [(label, score) for label, score in _classifier().rank(text) if label in wanted]
    total = sum(score for _, score in ranked)
    return (ranked[0][0], ranked[0][1] / total) if total else (None, 0.0)


def _language(label: str, script: str) -> Language:
    return Language(parse(label).code, script)


@cache
def _labels_of(script: str) -> frozenset[str]:
    return frozenset(
        label
        for label in _classifier().labels
        if label not in _NOT_LIVING and script in {parse(label).script, _SECOND_SCRIPTS.get(label)}
    )


@cache
def _classifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
