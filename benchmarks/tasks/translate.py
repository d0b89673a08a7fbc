"""Translations with BLEU and chrF.

A row has `source`, `target` (or `reference`, or `references`) and both languages, `source_language` and
`target_language`; or `translation`, an object from two languages to texts, the first one the source, as OPUS has it. A
source in several languages has the language `mul`, or none: then nobody is told of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.metrics.translations import corpus, library
from benchmarks.tasks.rows import Row, Source, language_of, read, script_of
from benchmarks.tasks.task import Asker, Figures, by_language, filled
from runtime.language.codes import english_name, parse

_MEASURED = (
    "Greedy translations; BLEU and chrF of all of them into a language together, by sacrebleu, from 0 to 100. The "
    "signatures say how: BLEU takes Chinese and scripts without spaces character by character."
)
PROMPT = "Translate the following{source} text to {target}.\n{text}"
_MIXED = "mul"

Through = Literal["translate", "chat", "completions"]


@dataclass(frozen=True)
class Sentence:
    """A text to translate; `source` is None where it is in no one language."""

    text: str
    source: str | None
    target: str
    references: tuple[str, ...]

    @classmethod
    def of(cls, row: Row) -> Sentence:
        """The sentence of a row.

        Raises:
            InvalidRequest: it lacks a text, or the language to translate to.
        """
        pair = row.data.get("translation")
        if isinstance(pair, dict):
            if len(pair) != 2 or not all(isinstance(text, str) and text.strip() for text in pair.values()):
                raise row.refusal("'translation' must have two languages with a text each")
            (source, text), (target, reference) = pair.items()
            return cls(text, _code(source), language_of(target), (reference,))
        source = row.data.get("source_language")
        return cls(
            row.text("source"),
            _code(source) if isinstance(source, str) else None,
            language_of(row.text("target_language")),
            row.texts("references", "reference", "target"),
        )

    @property
    def direction(self) -> str:
        """From which language to which."""
        return f"{self.source or _MIXED}→{self.target}"

    def prompt(self, template: str) -> str:
        """What a model is told in words: `template` with the names of both languages and the text."""
        source = f" {english_name(parse(self.source))}" if self.source else ""
        target = english_name(parse(self.target))
        return filled(template, source=source, target=target, text=self.text)


def _code(language: str) -> str | None:
    return None if language == _MIXED else str(parse(language))


class Translate:
    """The task `demotic eval translate`."""

    name = "translate"
    measured = _MEASURED

    def __init__(self, sources: Sequence[Source], *, through: Through, prompt: str, max_tokens: int) -> None:
        """Read the files.

        Raises:
            InvalidRequest: a row lacks something, or names a language that there is not.
            ConfigurationInvalid: sacrebleu is not installed.
        """
        library()
        self._sentences = {row.key: Sentence.of(row) for row in read(sources)}
        self.languages = {key: sentence.direction for key, sentence in self._sentences.items()}
        self.settings: dict[str, Any] = {"through": through}
        if through != "translate":
            self.settings |= {"prompt": prompt, "max_tokens": max_tokens}

    async def ask(self, key: str, asker: Asker) -> str:
        """The translation."""
        sentence = self._sentences[key]
        if self.settings["through"] == "translate":
            told = await asker.post(
                "/translate", text=sentence.text, source=sentence.source or "auto", target=sentence.target
            )
            return str(told["translations"][0]["text"])
        prompt, max_tokens = sentence.prompt(self.settings["prompt"]), self.settings["max_tokens"]
        if self.settings["through"] == "chat":
            return (await asker.chat([{"role": "user", "content": prompt}], max_tokens=max_tokens)).strip()
        return (await asker.complete(prompt, max_tokens=max_tokens, stop=["\n"])).strip()

    def figures(self, answers: Mapping[str, Any]) -> Figures:
        """BLEU and chrF by direction."""
        found: dict[str, dict[str, float | None]] = {}
        signatures = {}
        for direction, told in by_language(self, answers).items():
            references = [self._sentences[key].references for key in told]
            one = corpus(list(told.values()), references, script_of(direction))
            found[direction] = {"BLEU": one.bleu, "chrF": one.chrf}
            signatures[direction] = {"BLEU": one.bleu_signature, "chrF": one.chrf_signature}
        told_once = sorted({f"{name} {text}" for both in signatures.values() for name, text in both.items()})
        notes = (f"Signatures: {', '.join(f'`{text}`' for text in told_once)}.",) if told_once else ()
        return Figures(("BLEU", "chrF"), found, {"signatures": signatures}, notes=notes)
