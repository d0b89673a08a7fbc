"""Verdicts on calls of tools, as TUCAN's evaluator gives them (https://pypi.org/project/tucan-eval/).

Two things are added: a case may expect several calls, and names are compared with one rule more
(`runtime/chat/tools/values/names.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from runtime.chat.tools.values.names import name_key

Verdict = Literal[
    "CORRECT",
    "MALFORMED_JSON",
    "NO_CALL_WHEN_EXPECTED",
    "WRONG_FUNCTION",
    "WRONG_PARAMETERS",
    "UNEXPECTED_CALL",
    "DATA_FORMAT_ERROR",
    "API_ERROR",
]


@dataclass(frozen=True)
class Call:
    """A function and its parameters."""

    name: str
    parameters: Mapping[str, Any] | None


@dataclass(frozen=True)
class Reply:
    """What came of asking a model: its calls; or it wrote what is no JSON where a call begins; or nothing came."""

    calls: tuple[Call, ...] = ()
    is_malformed: bool = False
    is_failed: bool = False


@dataclass(frozen=True)
class Summary:
    """Of a number of verdicts: how many are right, also by scenario as (right, all), and how often each other fell."""

    total: int
    correct: int
    by_scenario: Mapping[str, tuple[int, int]]
    errors: Mapping[Verdict, int]

    @property
    def accuracy(self) -> float:
        """Share of the right ones; 0 where there are none."""
        return self.correct / self.total if self.total else 0.0


def expected_calls(behavior: object) -> tuple[Call, ...]:
    """What a row expects, `expected_behavior` as an object or as JSON text; no call where there should be none.

    Several calls stand in `expected_calls`, a list of objects with `expected_function` and `expected_parameters`.

    Raises:
        ValueError: it says no such thing.
    """
    if isinstance(behavior, str):
        behavior = json.loads(behavior)
    if not isinstance(behavior, Mapping):
        raise ValueError("the expected behaviour is no object")  # as for all that is no such thing
    if not behavior.get("should_call_function", False):
        return ()
    listed = behavior.get("expected_calls", [behavior])
    return tuple(Call(call["expected_function"], call.get("expected_parameters")) for call in listed)


def judge(behavior: object, reply: Reply) -> Verdict:
    """The verdict on a reply to a row that expects `behavior`. Of calls beyond those expected none counts."""
    if reply.is_failed:
        return "API_ERROR"
    if reply.is_malformed:
        return "MALFORMED_JSON"
    try:
        expected = expected_calls(behavior)
    except (ValueError, LookupError, TypeError, AttributeError):
        return "DATA_FORMAT_ERROR"
    if not expected:
        return "UNEXPECTED_CALL" if reply.calls else "CORRECT"
    if not reply.calls:
        return "NO_CALL_WHEN_EXPECTED"
    said = reply.calls[: len(expected)]
    if Counter(call.name for call in said) != Counter(call.name for call in expected):
        return "WRONG_FUNCTION"
    return "CORRECT" if _pair_up(expected, said) else "WRONG_PARAMETERS"


def _pair_up(expected: Sequence[Call], said: Sequence[Call]) -> bool:
    """Whether each expected call is among those said, in any order."""
    left = list(said)
    for call in expected:
        found = next(
            (one for one in left if one.name == call.name and are_same(call.parameters or {}, one.parameters or {})),
            None,
        )
        if found is None:
            return False
        left.remove(found)
    return True


def are_same(expected: Any, actual: Any) -> bool:
    """Whether two values are one: texts as names, numbers also in quotes, lists in order, objects key by key."""
    match expected, actual:
        case (None, _) | (_, None):
            return expected is actual
        case (bool(), _) | (_, bool()):
            return expected is actual
        case str(), str():
            return expected.strip().casefold() == actual.strip().casefold() or name_key(expected) == name_key(actual)
        case str(), int() | float():
            return _is_number(expected, actual)
        case int() | float(), str():
            return _is_number(actual, expected)
        case list(), list():
            return len(expected) == len(actual) and all(map(are_same, expected, actual))
        case dict(), dict():
            return expected.keys() == actual.keys() and all(are_same(expected[key], actual[key]) for key in expected)
        case _:
            return bool(expected == actual)


def _is_number(text: str, number: float) -> bool:
    try:
        return (float(text) if "." in text else int(text)) == number
    except ValueError:
        return False


def summarise(judged: Iterable[tuple[str, Verdict]]) -> Summary:
    """The summary of verdicts, each with the type of its scenario."""
    judged = list(judged)
    of_scenario = Counter(scenario for scenario, _ in judged)
    right = Counter(scenario for scenario, verdict in judged if verdict == "CORRECT")
    return Summary(
        total=len(judged),
        correct=right.total(),
        by_scenario={scenario: (right[scenario], of_scenario[scenario]) for scenario in sorted(of_scenario)},
        errors=dict(Counter(verdict for _, verdict in judged if verdict != "CORRECT").most_common()),
    )
