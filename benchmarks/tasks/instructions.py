"""Instructions over several turns: rows of Multi-IF, and of IFEval with one turn.

Multi-IF has `turn_1_prompt`, `turn_1_instruction_id_list` and `turn_1_kwargs`, and so on for each turn, as JSON in
texts; IFEval has `prompt`, `instruction_id_list` and `kwargs`. The model's own answers go before the next turn.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from benchmarks.metrics.instructions import COUNTING, UNCOUNTED_SCRIPTS, require_known
from benchmarks.metrics.multi_if import Followed, Instruction, TurnScores, judge, summarise
from benchmarks.tasks.rows import Row, Source, read, script_of
from benchmarks.tasks.task import Asker, Figures, by_language, shown
from runtime.errors import InvalidRequest

_MEASURED = (
    "Greedy answers, each turn after the model's own answers to those before. Of 100: the mean of four shares, prompts "
    "of which all instructions are followed and single instructions, each strictly and loosely (also without "
    "asterisks, the first line or the last). With a 95 % confidence interval: a percentile bootstrap of 10,000 "
    "resamples."
)


@dataclass(frozen=True)
class Turn:
    """What the user says, and what can be checked of the answer."""

    prompt: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Conversation:
    """The turns of a row, and how many of its instructions nothing can check in its language."""

    turns: tuple[Turn, ...]
    num_unchecked: int

    @classmethod
    def of(cls, row: Row) -> Conversation:
        """The conversation of a row.

        Raises:
            InvalidRequest: it is of neither format, or has an instruction of a kind that is not known.
        """
        found: list[tuple[Any, Any, Any]] = []
        if "prompt" in row.data:
            found = [(row.text("prompt"), row.decoded("instruction_id_list"), row.decoded("kwargs"))]
        else:
            for number in count(1):
                if not row.data.get(f"turn_{number}_prompt") or row.data[f"turn_{number}_prompt"] == "None":
                    break
                said = row.decoded(f"turn_{number}_prompt")
                content = said.get("content") if isinstance(said, dict) else None
                kinds, arguments = (row.decoded(f"turn_{number}_{name}") for name in ("instruction_id_list", "kwargs"))
                found.append((content, kinds, arguments))
        if not found or not all(isinstance(said, str) and said for said, _, _ in found):
            raise row.refusal("there is no 'prompt', and no 'turn_1_prompt' with 'content'")
        turns = [(said, _instructions(row, kinds, arguments)) for said, kinds, arguments in found]
        is_uncounted = script_of(row.language) in UNCOUNTED_SCRIPTS
        kept = [
            Turn(said, tuple(each for each in told if not (is_uncounted and each.kind in COUNTING)))
            for said, told in turns
        ]
        num_unchecked = sum(len(told) for _, told in turns) - sum(len(turn.instructions) for turn in kept)
        return cls(tuple(kept), num_unchecked)


def _instructions(row: Row, kinds: Any, arguments: Any) -> list[Instruction]:
    if not isinstance(kinds, list) or not isinstance(arguments, list) or len(kinds) != len(arguments) or not kinds:
        raise row.refusal("there must be one 'kwargs' for each of 'instruction_id_list'")
    found = []
    for kind, given in zip(kinds, arguments, strict=True):
        try:
            taken = json.loads(given) if isinstance(given, str) else given
            require_known(str(kind), taken or {})
        except (ValueError, AttributeError) as fault:
            raise row.refusal(f"the 'kwargs' of '{kind}' are no JSON object") from fault
        except InvalidRequest as fault:
            raise InvalidRequest(f"{row.path}, line {row.number}: {fault.message}", remedy=fault.remedy) from fault
        found.append(Instruction(str(kind), taken or {}))
    return found


class Instructions:
    """The task `demotic eval instructions`."""

    name = "instructions"
    measured = _MEASURED

    def __init__(self, sources: Sequence[Source], *, max_tokens: int) -> None:
        """Read the files.

        Raises:
            InvalidRequest: a row is of neither format, or has an instruction of a kind that is not known.
        """
        self.settings = {"max_tokens": max_tokens}
        rows = list(read(sources))
        self._conversations = {row.key: Conversation.of(row) for row in rows}
        self.languages = {row.key: row.language for row in rows}

    async def ask(self, key: str, asker: Asker) -> list[str]:
        """The answer to each turn."""
        messages: list[dict[str, str]] = []
        for turn in self._conversations[key].turns:
            messages.append({"role": "user", "content": turn.prompt})
            said = await asker.chat(messages, max_tokens=self.settings["max_tokens"])
            messages.append({"role": "assistant", "content": said})
        return [message["content"] for message in messages if message["role"] == "assistant"]

    def figures(self, answers: Mapping[str, Any]) -> Figures:
        """Scores by turn and language, and by turn over all answers."""
        scores: dict[str, dict[str, TurnScores]] = {}
        followed_by_language = {language: self._followed(told) for language, told in by_language(self, answers).items()}
        everything: dict[str, list[Followed]] = {}
        for language, followed in followed_by_language.items():
            scores[language] = {turn: summarise(each) for turn, each in followed.items()}
            for turn, each in followed.items():
                everything.setdefault(turn, []).extend(each)
        turns = sorted(everything, key=lambda name: int(name.split()[1]))
        overall = {turn: summarise(everything[turn]) for turn in turns}
        found: dict[str, dict[str, float | None]] = {
            language: {turn: 100 * one.overall for turn, one in of_language.items()}
            for language, of_language in scores.items()
        }
        more = {
            "turns": {turn: asdict(one) for turn, one in overall.items()},
            "languages": {
                language: {turn: asdict(one) for turn, one in of_language.items()}
                for language, of_language in scores.items()
            },
            "unchecked": self._unchecked(answers),
        }
        return Figures(tuple(turns), found, more, (_table(overall),) if overall else (), self._notes(answers))

    def _followed(self, told: Mapping[str, Any]) -> dict[str, list[Followed]]:
        """What each answer of a language followed, by turn; turns with nothing to check are left out."""
        found: dict[str, list[Followed]] = {}
        for key, said in told.items():
            for number, (turn, text) in enumerate(zip(self._conversations[key].turns, said, strict=True), 1):
                if turn.instructions:
                    found.setdefault(f"turn {number}", []).append(judge(text, turn.instructions))
        return found

    def _unchecked(self, answers: Mapping[str, Any]) -> dict[str, int]:
        counts = Counter[str]()
        for key in answers:
            counts[self.languages[key]] += self._conversations[key].num_unchecked
        return {language: number for language, number in counts.items() if number}

    def _notes(self, answers: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(
            f"{number} instructions in {language} are not checked: its words and sentences cannot be counted without a "
            "dictionary."
            for language, number in self._unchecked(answers).items()
        )


def _table(overall: Mapping[str, TurnScores]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    heads = ("all languages", "answers", "overall", "95 %", "prompts", "instructions", "loose: prompts", "instructions")
    rows = tuple(
        (
            turn,
            str(one.count),
            shown(100 * one.overall),
            f"{shown(100 * one.low)} to {shown(100 * one.high)}",
            *(
                shown(100 * value)
                for value in (one.strict_prompt, one.strict_instruction, one.loose_prompt, one.loose_instruction)
            ),
        )
        for turn, one in overall.items()
    )
    return heads, rows
