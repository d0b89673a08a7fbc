"""How a model is told from which language to which: three conventions behind one pair of languages.

- A token of the text: Marian's `>>fra<<`, MADLAD's `<2fr>`, the source that mBART and NLLB read.
- A token that the answer begins with: the code that mBART, NLLB and M2M100 are forced to write first.
- Words: "translate English to German: " before the text, as T5 was trained; "Translate to German: " for mT0.

Which of the first two a model wants is in its settings (docs/onnx.md); a model that knows no codes is told in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from runtime.engine.messages import Between
from runtime.engine.rules import Rules
from runtime.errors import InvalidRequest, UnknownLanguage, UnsupportedLanguages
from runtime.language.codes import Language, english_name, parse
from runtime.models.onnx_settings import Languages, Settings

# Names of models for one pair, such as opus-mt-en-de.
_PAIR = re.compile(r"(?:^|[-_])([a-z]{2,3})-([a-z]{2,3})(?:[-_]onnx)?$")
_WORDS = {"mt5": "Translate to {target}: "}
_T5_WORDS = "translate {source} to {target}: "
_MAX_TOKENS = 512


@dataclass(frozen=True)
class Framing:
    """One pair of languages as a model is told of it: what stands around a text, and what an answer begins with."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    begin: tuple[int, ...] = ()
    words: str = ""

    def prompt(self, text: str) -> str | Between:
        """What the encoder reads for `text`."""
        return Between(self.before, text, self.after) if self.before or self.after else self.words + text


@dataclass(frozen=True)
class Translator:
    """What a folder's settings say of translation. `name` is the model's, which may name its only pair."""

    name: str
    settings: Settings

    @property
    def is_told_in_words(self) -> bool:
        """Whether the languages of a request are words before its text, which any language may be."""
        return self.settings.languages is None and self.settings.task == "text2text"

    @property
    def only_translates(self) -> bool:
        """Whether it was made for nothing else."""
        return self.settings.task == "translate" or self.settings.languages is not None

    @property
    def needs_source(self) -> bool:
        """Whether the model is told which language a text is in."""
        languages = self.settings.languages
        return "source" in languages.source if languages is not None else self.is_told_in_words

    @cached_property
    def codes(self) -> dict[Language, str]:
        """The model's own code of each language that it knows; empty where it knows none."""
        found: dict[Language, str] = {}
        for code in self._languages.codes:
            language = _language_of(code)
            if language is not None:
                found.setdefault(language, code)
        return found

    @cached_property
    def pair(self) -> tuple[Language, Language] | None:
        """The only languages of a model that knows no codes, where its name tells them."""
        found = _PAIR.search(self.name.lower()) if self.settings.languages is None else None
        pair = [] if found is None else [_language_of(code) for code in found.groups()]
        if len(pair) != 2 or pair[0] is None or pair[1] is None:
            return None
        return pair[0], pair[1]

    @cached_property
    def sources(self) -> tuple[Language, ...]:
        """Languages that it translates from; empty where any may be asked for."""
        if self.pair is not None and not self.is_told_in_words:
            return (self.pair[0],)
        return tuple(self.codes) if self.needs_source else ()

    @cached_property
    def targets(self) -> tuple[Language, ...]:
        """Languages that it translates to; empty where any may be asked for."""
        if self.pair is not None and not self.is_told_in_words:
            return (self.pair[1],)
        return tuple(self.codes)

    def source(self, name: str) -> Language:
        """The language to translate from that a request names.

        Raises:
            UnknownLanguage: there is none of this name.
            UnsupportedLanguages: the model does not know it.
        """
        return self._find(name, self.sources, "source")

    def target(self, name: str) -> Language:
        """The language to translate to that a request names. Raises as `source` does."""
        return self._find(name, self.targets, "target")

    def nearest_source(self, language: Language) -> Language | None:
        """The language of the model's that a text in `language`, as was found, is taken for; None where there is none.

        Languages that look alike are taken for one another: the only one that the model knows of a script.
        """
        alike = [each for each in self.sources if each.script == language.script]
        return _match(language, self.sources) or (alike[0] if len(alike) == 1 else None)

    def framing(self, source: Language | None, target: Language, words: str | None = None) -> Framing:
        """How the model is told of a pair, whose source may be left out where it is not told of that.

        `words` stand before the text instead of the model's own, where it is told in words.

        Raises:
            InvalidRequest: it takes no words.
        """
        settings = self.settings
        if self.is_told_in_words:
            pattern = _WORDS.get(settings.architecture, _T5_WORDS)
            names = {"source": english_name(source) if source is not None else "", "target": english_name(target)}
            return Framing(words=pattern.format(**names) if words is None else words, begin=self._start())
        if words is not None:
            raise InvalidRequest(f"{self.name} is told of languages by tokens and takes no words.", param="prompt")
        languages = settings.languages
        if languages is None:
            return Framing(begin=self._start())
        ids = {"target": languages.codes[self.codes[target]]}
        if source is not None and self.needs_source:
            ids["source"] = languages.codes[self.codes[source]]
        at = languages.source.index("text")
        told = [ids[part] if isinstance(part, str) else part for part in languages.source if part != "text"]
        begin = self._start()[:1]
        match languages.target:
            case "forced_bos":
                begin = (*begin, ids["target"])
            case "decoder_start":
                begin = (ids["target"],)
        return Framing(tuple(told[:at]), tuple(told[at:]), begin)

    @property
    def _languages(self) -> Languages:
        return self.settings.languages or Languages({}, ("text",), "in_source")

    def _start(self) -> tuple[int, ...]:
        return start_of(self.settings)

    def _find(self, name: str, known: tuple[Language, ...], param: str) -> Language:
        for language, code in self.codes.items():
            if name == code and language in known:
                return language
        found = parse(name, param=param)
        if not known:
            return found
        language_known = _match(found, known)
        if language_known is None:
            raise UnsupportedLanguages(self.name, name, known=tuple(map(str, known)), param=param)
        return language_known


def rules_of(settings: Settings, num_given: int = 1, **asked: Any) -> Rules:
    """What the checkpoint says its answers may not be, and what a request asks for instead, where that is not None.

    `num_given` tokens stand before the answer, which transformers counts as well.
    """
    told: Mapping[str, Any] = settings.generation
    forced = settings.tokens.forced_eos
    rules: dict[str, Any] = {
        "min_tokens": max(0, (told.get("min_length") or 0) - num_given),
        "no_repeat_ngram_size": told.get("no_repeat_ngram_size") or 0,
        "bad_words": tuple(map(tuple, told.get("bad_words_ids") or ())),
        "suppress": tuple(told.get("suppress_tokens") or ()),
        "begin_suppress": tuple(told.get("begin_suppress_tokens") or ()),
        "forced_eos": forced if isinstance(forced, tuple) else () if forced is None else (forced,),
    }
    return Rules(**rules | {name: value for name, value in asked.items() if value is not None})


def start_of(settings: Settings) -> tuple[int, ...]:
    """The tokens that every answer of a model begins with."""
    marks = settings.tokens
    return tuple(token for token in (marks.decoder_start, marks.forced_bos) if token is not None)


def most_tokens(settings: Settings, text: str) -> int:
    """How long the translation of a text may be, where nobody says it: a model that does not end must be stopped."""
    each = 4 if settings.tokenizer.kind == "bytes" else 1
    told = settings.generation.get("max_new_tokens") or settings.generation.get("max_length") or _MAX_TOKENS
    return max(1, min(int(told) - 1, 32 + 2 * each * len(text)))


def _match(language: Language, known: tuple[Language, ...]) -> Language | None:
    """The same language among those known; in another script where it is there in one only."""
    if language in known:
        return language
    same = [each for each in known if each.code == language.code]
    return same[0] if len(same) == 1 else None


def _language_of(code: str) -> Language | None:
    try:
        return parse(code)
    except UnknownLanguage:
        return None
