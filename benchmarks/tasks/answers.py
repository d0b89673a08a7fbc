"""Short answers with exact match, as in MultiLoKo: `question` and `targets` (or `target`, `answers`, `answer`) a row.

A language's questions may also be asked in English, and English ones translated into it: the differences are the
mother tongue effect and the locality effect (arXiv 2504.10356).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.metrics.languages import differences
from benchmarks.metrics.short_answers import score
from benchmarks.metrics.translations import chrf_of, library
from benchmarks.tasks.rows import Row, Source, language_of, read
from benchmarks.tasks.task import Asker, Figures, filled, percent
from runtime.errors import InvalidRequest

_MEASURED = (
    "Greedy answers, cut at the first line break. Both sides in small letters, without punctuation and English "
    "articles (MultiLoKo). Of 100: exact match with one of the right answers, F1 of the words, chrF, and similarity "
    "(the ratio of matching characters), each of the nearest right answer. Gap: the best language less the worst. MTE: "
    "exact match on a language's own questions, less that on the same ones asked in English. LE: the same, less exact "
    "match on English questions translated into the language."
)
_TEMPLATE = "Q: {question}\nA:"
_ENGLISH = "eng_Latn"
_QUESTION = "{question}"

Kind = Literal["own", "to_english", "from_english"]


@dataclass(frozen=True)
class Question:
    """A question, the language that it is asked in, and its right answers; `kind` says whose it is."""

    text: str
    asked_in: str
    targets: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True)
class Manner:
    """How to ask. `prompts` has templates by language, `shots` so many solved `examples` of the language come before.

    Without a template of its own a language has that of `""`. With `chat` they are turns of a conversation.
    """

    prompts: Mapping[str, str]
    examples: Sequence[Source]
    shots: int
    chat: bool
    max_tokens: int


def read_prompts(path: Path | None) -> dict[str, str]:
    """The templates of a JSON file: an object from languages, or "" for all others, to texts with {question}.

    Raises:
        InvalidRequest: it is no such file.
    """
    if path is None:
        return {"": _TEMPLATE}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InvalidRequest(f"{path} cannot be read: {fault}.") from fault
    if not isinstance(told, dict) or not all(isinstance(text, str) and _QUESTION in text for text in told.values()):
        raise InvalidRequest(f"{path} must have an object from languages to texts with {_QUESTION} in them.")
    return {"": _TEMPLATE, **{language_of(name) if name else "": text for name, text in told.items()}}


class Answers:
    """The task `demotic eval answers`."""

    name = "answers"
    measured = _MEASURED

    def __init__(
        self,
        sources: Sequence[Source],
        to_english: Sequence[Source],
        from_english: Sequence[Source],
        manner: Manner,
    ) -> None:
        """Read the files; those of `to_english` and `from_english` have the language that they are compared with.

        Raises:
            InvalidRequest: a row has no question or no right answer, or a language has too few examples.
            ConfigurationInvalid: sacrebleu is not installed.
        """
        library()
        self._manner = manner
        self._questions: dict[str, Question] = {}
        self.languages: dict[str, str] = {}
        kinds: tuple[tuple[Kind, Sequence[Source]], ...] = (
            ("own", sources),
            ("to_english", to_english),
            ("from_english", from_english),
        )
        for kind, files in kinds:
            for row in read(files):
                key = f"{kind} {row.key}"
                self._questions[key] = _question(row, kind)
                self.languages[key] = row.language
        self._examples = _by_language(manner.examples)
        for question in self._questions.values() if manner.shots else ():
            if len(self._examples.get(question.asked_in, ())) < manner.shots:
                raise InvalidRequest(
                    f"There are not {manner.shots} examples in {question.asked_in}.",
                    remedy="Name files of them with --examples, or ask for fewer with --shots.",
                )
        self.settings = {
            "prompts": dict(manner.prompts),
            "examples": [str(source.path) for source in manner.examples],
            "shots": manner.shots,
            "chat": manner.chat,
            "max_tokens": manner.max_tokens,
        }

    async def ask(self, key: str, asker: Asker) -> str:
        """The answer, one line."""
        question, manner = self._questions[key], self._manner
        template = manner.prompts.get(question.asked_in, manner.prompts[""])
        asked = filled(template, question=question.text)
        before = [
            (filled(template, question=one.text), one.targets[0])
            for one in self._examples.get(question.asked_in, ())[: manner.shots]
        ]
        if manner.chat:
            turns = [
                {"role": role, "content": text}
                for pair in before
                for role, text in zip(("user", "assistant"), pair, strict=True)
            ]
            said = await asker.chat([*turns, {"role": "user", "content": asked}], max_tokens=manner.max_tokens)
        else:
            shown = "".join(f"{prompt} {answer}\n\n" for prompt, answer in before)
            said = await asker.complete(f"{shown}{asked}", max_tokens=manner.max_tokens, stop=["\n"])
        return said.strip().split("\n")[0]

    def figures(self, answers: Mapping[str, Any]) -> Figures:
        """Scores of each language's own questions, and both effects where there is what they need."""
        scores: dict[Kind, dict[str, list[tuple[float, ...]]]] = {"own": {}, "to_english": {}, "from_english": {}}
        for key, question in self._questions.items():
            if answers.get(key) is not None:
                of_language = scores[question.kind].setdefault(self.languages[key], [])
                one = score(answers[key], question.targets)
                of_language.append((one.exact, one.f1, chrf_of(answers[key], question.targets) / 100, one.similarity))
        columns: tuple[str, ...] = ("exact match", "F1", "chrF", "similarity")
        means = {
            kind: {
                language: dict(zip(columns, map(percent, zip(*told, strict=True)), strict=True))
                for language, told in of_kind.items()
            }
            for kind, of_kind in scores.items()
        }
        exact = {
            kind: {language: values["exact match"] for language, values in of_kind.items()}
            for kind, of_kind in means.items()
        }
        found: dict[str, dict[str, float | None]] = {
            language: dict(means["own"][language]) for language in means["own"]
        }
        effects: tuple[tuple[str, Kind], ...] = (("MTE", "to_english"), ("LE", "from_english"))
        for name, kind in effects:
            if exact[kind]:
                columns = (*columns, name)
                for language, value in differences(exact["own"], exact[kind]).items():
                    found[language][name] = value
        return Figures(columns, found, {"exact_match": exact})


def _question(row: Row, kind: Kind) -> Question:
    targets = row.texts("targets", "answers", "target", "answer")
    return Question(row.text("question"), _ENGLISH if kind == "to_english" else row.language, targets, kind)


def _by_language(sources: Sequence[Source]) -> dict[str, list[Question]]:
    found: dict[str, list[Question]] = {}
    for row in read(sources):
        found.setdefault(row.language, []).append(_question(row, "own"))
    return found
