"""Multiple choice by log-likelihood: files as those of ARC and of Belebele.

ARC has `question` with `choices` and the `answerKey`, as AI2 wrote it (an object with `stem` and a list of choices) or
as the hub has it (a text, and lists of texts and labels). Belebele has `flores_passage`, `question`, `mc_answer1` to
`mc_answer4`, `correct_answer_num` and `dialect`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from benchmarks.metrics.choices import judge
from benchmarks.tasks.rows import Row, Source, read
from benchmarks.tasks.task import Asker, Figures, by_language, percent

_MEASURED = (
    "Each option is put after the question, and the endpoint tells the log-likelihood of its tokens; the likeliest one "
    "is the model's answer. Accuracy in percent: as it is, with the log-likelihood divided by the option's characters, "
    "and by its UTF-8 bytes. Chance: the share that guessing would get right."
)


@dataclass(frozen=True)
class Question:
    """What comes before the options, the options, and the index of the right one."""

    context: str
    options: tuple[str, ...]
    answer: int

    @classmethod
    def of(cls, row: Row, *, letters: bool) -> Question:
        """The question of a row; with `letters` the options stand in it, and their letters are the options.

        Raises:
            InvalidRequest: the row is of neither format, or has no right option.
        """
        passage = f"{row.text('flores_passage')}\n" if "flores_passage" in row.data else ""
        stem, labels, options = _belebele(row) if passage else _arc(row)
        key = str(row.data["correct_answer_num"] if passage else row.text("answerKey"))
        if len(options) < 2 or not all(option.strip() for option in options):
            raise row.refusal("there must be at least two options, none of them empty")
        if key not in labels:
            raise row.refusal(f"no option has the label '{key}'")
        asked = [f"{passage}Question: {stem}"]
        if letters:
            asked += [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
            options = list(ascii_uppercase[: len(options)])
        return cls("\n".join([*asked, "Answer:"]), tuple(options), labels.index(key))


def _arc(row: Row) -> tuple[str, list[str], list[str]]:
    """The question, the labels and the texts of the options."""
    question: Any = row.data.get("question")
    choices: Any = row.data.get("choices")
    if isinstance(question, dict):
        question, choices = question.get("stem"), question.get("choices")
    try:
        if isinstance(choices, dict):
            labels, options = choices["label"], choices["text"]
        else:
            labels, options = [one["label"] for one in choices or ()], [one["text"] for one in choices or ()]
        if not all(isinstance(text, str) for text in (question, *options)) or len(labels) != len(options):
            raise ValueError
    except (LookupError, TypeError, ValueError) as fault:
        raise row.refusal("this is a question neither of ARC's format nor of Belebele's") from fault
    return question, [str(label) for label in labels], list(options)


def _belebele(row: Row) -> tuple[str, list[str], list[str]]:
    if "correct_answer_num" not in row.data:
        raise row.refusal("there is no 'correct_answer_num'")
    numbers = ["1", "2", "3", "4"]
    return row.text("question"), numbers, [row.text(f"mc_answer{number}") for number in numbers]


class Choice:
    """The task `demotic eval choice`."""

    name = "choice"
    measured = _MEASURED

    def __init__(self, sources: Sequence[Source], *, letters: bool) -> None:
        """Read the files.

        Raises:
            InvalidRequest: a row is of neither format.
        """
        self.settings = {"letters": letters}
        rows = list(read(sources))
        self._questions = {row.key: Question.of(row, letters=letters) for row in rows}
        self.languages = {row.key: row.language for row in rows}

    async def ask(self, key: str, asker: Asker) -> list[float]:
        """The log-likelihood of each option."""
        question = self._questions[key]
        told = await asker.post(
            "/completions",
            prompt=[question.context, *(f"{question.context} {option}" for option in question.options)],
            max_tokens=0,
            temperature=0,
            echo=True,
            logprobs=1,
        )
        choices = sorted(told["choices"], key=lambda choice: int(choice["index"]))
        context, *options = (choice["logprobs"]["token_logprobs"] for choice in choices)
        if len(options) != len(question.options):
            raise ValueError("not one choice a prompt")
        return [log_likelihood(context, option) for option in options]

    def figures(self, answers: Mapping[str, Any]) -> Figures:
        """Accuracy by language."""
        columns = ("accuracy", "per character", "per byte", "chance")
        found: dict[str, dict[str, float | None]] = {}
        for language, told in by_language(self, answers).items():
            asked = [self._questions[key] for key in told]
            verdicts = [judge(told[key], self._questions[key].options, self._questions[key].answer) for key in told]
            values = (
                percent(one.raw for one in verdicts),
                percent(one.per_character for one in verdicts),
                percent(one.per_byte for one in verdicts),
                percent(1 / len(one.options) for one in asked),
            )
            found[language] = dict(zip(columns, values, strict=True))
        return Figures(columns, found)


def log_likelihood(context: Sequence[float | None], whole: Sequence[float | None]) -> float:
    """The sum over the tokens of `whole` beyond as many as `context` has, both of them echoed prompts' logprobs.

    As in lm-evaluation-harness: where a tokenizer joins the end of the context with what follows, that token is taken
    to be the context's. Positions in the text would not do, as vocabularies add characters of their own.

    Raises:
        TypeError, ValueError: there is no further token, or nothing is known of one.
    """
    further = whole[len(context) :]
    if not further:
        raise ValueError("the prompt was not echoed, or the option is no token")
    return math.fsum(further)  # type: ignore[arg-type]  # it refuses None, as the docstring says
