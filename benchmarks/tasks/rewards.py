"""Reward models on pairs of answers: rows of M-RewardBench, `prompt`, `chosen` and `rejected` (arXiv 2410.15522).

`language` is theirs too, `id` says which rows are one in several languages, and `category` (or `subset`) groups them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.metrics.rewards import is_right, kappa
from benchmarks.tasks.rows import Row, Source, read
from benchmarks.tasks.task import Asker, Figures, by_language, filled, percent, shown
from runtime.errors import InvalidRequest

_MEASURED = (
    "Accuracy in percent: the share of pairs whose chosen answer has the higher reward; the same reward is no "
    "preference, and wrong. To English: the accuracy less that in English. Kappa: Cohen's, of the verdicts on the same "
    "pairs in this language and in English, times 100."
)
_ENGLISH = "eng_Latn"


@dataclass(frozen=True)
class Pair:
    """Two answers to a prompt, of which people chose one; `item` is the same in all languages."""

    item: str
    category: str
    prompt: str
    chosen: str
    rejected: str

    @classmethod
    def of(cls, row: Row) -> Pair:
        """The pair of a row.

        Raises:
            InvalidRequest: it lacks a text.
        """
        category = next((row.data[name] for name in ("category", "subset") if row.data.get(name)), "all")
        return cls(
            item=str(row.data.get("id", row.number)),
            category=str(category),
            prompt=row.text("prompt"),
            chosen=row.text("chosen"),
            rejected=row.text("rejected"),
        )


class Rewards:
    """The task `demotic eval rewards`."""

    name = "rewards"
    measured = _MEASURED

    def __init__(self, sources: Sequence[Source], *, template: str | None) -> None:
        """Read the files; `template` makes one text of a prompt and an answer, where the model was trained on that.

        Raises:
            InvalidRequest: a row lacks a text, or the template has no place for one.
        """
        if template is not None and not all(name in template for name in ("{prompt}", "{answer}")):
            raise InvalidRequest("The template must have {prompt} and {answer} in it.")
        self.settings = {"template": template}
        rows = list(read(sources))
        self._pairs = {row.key: Pair.of(row) for row in rows}
        self.languages = {row.key: row.language for row in rows}

    async def ask(self, key: str, asker: Asker) -> list[float]:
        """The rewards of the chosen and the rejected answer."""
        pair, template = self._pairs[key], self.settings["template"]
        if template is None:
            told = await asker.post("/score", text_1=pair.prompt, text_2=[pair.chosen, pair.rejected])
            found = sorted(told["data"], key=lambda one: int(one["index"]))
            chosen, rejected = (float(one["score"]) for one in found)
        else:
            texts = [filled(template, prompt=pair.prompt, answer=answer) for answer in (pair.chosen, pair.rejected)]
            told = await asker.post("/classify", input=texts)
            found = sorted(told["data"], key=lambda one: int(one["index"]))
            ((chosen,), (rejected,)) = ([float(value) for value in one["probs"]] for one in found)
        return [chosen, rejected]

    def figures(self, answers: Mapping[str, Any]) -> Figures:
        """Accuracy by language and by category, and how far each language is from English."""
        verdicts = {
            language: {key: is_right(*rewards) for key, rewards in told.items()}
            for language, told in by_language(self, answers).items()
        }
        english = {self._pairs[key].item: right for key, right in verdicts.get(_ENGLISH, {}).items()}
        in_english = percent(english.values())
        found: dict[str, dict[str, float | None]] = {}
        for language, told in verdicts.items():
            accuracy = percent(told.values())
            found[language] = {"accuracy": accuracy}
            if in_english is not None and accuracy is not None:
                found[language]["to English"] = accuracy - in_english
                both = [
                    (right, english[item]) for key, right in told.items() if (item := self._pairs[key].item) in english
                ]
                agreement = kappa([one for one, _ in both], [other for _, other in both])
                found[language]["kappa"] = None if agreement is None else 100 * agreement
        categories = {
            language: {
                category: percent(right for key, right in told.items() if self._pairs[key].category == category)
                for category in sorted({self._pairs[key].category for key in told})
            }
            for language, told in verdicts.items()
        }
        names = sorted({name for one in categories.values() for name in one})
        table = (
            ("accuracy", *names),
            tuple((language, *(shown(one.get(name)) for name in names)) for language, one in categories.items()),
        )
        columns = ("accuracy", "to English", "kappa") if english else ("accuracy",)
        tables = (table,) if len(names) > 1 else ()
        return Figures(columns, found, {"categories": categories}, tables)
