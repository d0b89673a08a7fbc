"""Calls of tools on rows as TUCAN's data set has them, with its verdicts (`benchmarks/tools_score.py`).

A row has `user_message`, `functions` (a list, or JSON in a text), `expected_behavior` and `scenario_type`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from benchmarks.tasks.rows import Row, Source, read
from benchmarks.tasks.task import Asker, AskingFailed, Figures, percent, shown
from benchmarks.tools import Row as ToolRow
from benchmarks.tools import Settings, ask_once
from benchmarks.tools_score import Reply, Verdict, expected_calls, judge, summarise

_MEASURED = (
    "Greedy answers with tool_choice auto. Of 100: right, by TUCAN's evaluator, also where no call is right; sound: of "
    "the answers that have a call, those whose calls are all JSON, name a function that is there and fit its schema."
)


class Tools:
    """The task `demotic eval tools`."""

    name = "tools"
    measured = _MEASURED

    def __init__(self, sources: Sequence[Source], *, max_tokens: int) -> None:
        """Read the files.

        Raises:
            InvalidRequest: a row lacks its message or its functions.
        """
        self.settings = {"max_tokens": max_tokens}
        rows = list(read(sources))
        self._rows = {row.key: _tool_row(row) for row in rows}
        self.languages = {row.key: row.language for row in rows}

    async def ask(self, key: str, asker: Asker) -> dict[str, Any]:
        """The verdict on an answer, how many calls it had, and whether they are sound."""
        row = self._rows[key]
        if not _is_sound(row.behavior):
            return {"verdict": judge(row.behavior, Reply()), "calls": 0, "is_sound": False}
        tokens = self.settings["max_tokens"]
        settings = Settings(max_tokens=tokens, clients=1, look_tokens=tokens)
        result = await ask_once(asker.http, asker.endpoint, row, "auto", settings)
        if result.error:
            raise AskingFailed(result.error)
        return {"verdict": result.verdict, "calls": result.num_calls, "is_sound": result.is_sound}

    def figures(self, answers: Mapping[str, Any]) -> Figures:
        """Accuracy by language; by scenario, and which verdict fell how often. A question that failed has one too."""
        failed = {"verdict": judge({}, Reply(is_failed=True)), "calls": 0, "is_sound": False}
        told: dict[str, Any] = {key: answer or failed for key, answer in answers.items()}
        found: dict[str, dict[str, float | None]] = {}
        for language in dict.fromkeys(self.languages[key] for key in told):
            own = [answer for key, answer in told.items() if self.languages[key] == language]
            found[language] = {
                "right": percent(one["verdict"] == "CORRECT" for one in own),
                "sound": percent(one["is_sound"] for one in own if one["calls"]),
            }
        summary = summarise((self._rows[key].scenario, cast("Verdict", one["verdict"])) for key, one in told.items())
        scenarios = tuple(
            (name, str(total), shown(100 * right / total)) for name, (right, total) in summary.by_scenario.items()
        )
        verdicts = (("CORRECT", str(summary.correct)), *((name, str(count)) for name, count in summary.errors.items()))
        tables = ((("scenario", "asked", "right"), scenarios), (("verdict", "answers"), verdicts))
        return Figures(("right", "sound"), found, {"verdicts": asdict(summary)}, tables)


def _tool_row(row: Row) -> ToolRow:
    functions = row.decoded("functions")
    if not isinstance(functions, list) or not all(isinstance(one, dict) and "name" in one for one in functions):
        raise row.refusal("'functions' must be a list of objects with a name")
    return ToolRow(
        language=row.language,
        user_message=row.text("user_message"),
        functions=tuple(functions),
        behavior=cast("dict[str, Any]", row.data.get("expected_behavior")),
        scenario=str(row.data.get("scenario_type", "all")),
    )


def _is_sound(behavior: object) -> bool:
    """Whether a row says what is expected; one that does not has its own verdict, and is not asked."""
    try:
        expected_calls(behavior)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
    return True
