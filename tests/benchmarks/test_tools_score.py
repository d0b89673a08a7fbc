"""Verdicts on calls are those of TUCAN's evaluator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.tools_score import Call, Reply, Verdict, are_same, judge, summarise

WEATHER = {"should_call_function": True, "expected_function": "get_weather", "expected_parameters": {"city": "София"}}
NOTHING = {"should_call_function": False, "expected_function": None, "expected_parameters": None}
BOTH = {
    "should_call_function": True,
    "expected_calls": [
        {"expected_function": "get_weather", "expected_parameters": {"city": "София"}},
        {"expected_function": "get_weather", "expected_parameters": {"city": "Варна"}},
    ],
}
SOFIA = Call("get_weather", {"city": "Sofia"})
VARNA = Call("get_weather", {"city": "Varna"})


@pytest.mark.parametrize(
    ("behavior", "reply", "verdict"),
    [
        (WEATHER, Reply((SOFIA,)), "CORRECT"),
        (json.dumps(WEATHER), Reply((SOFIA,)), "CORRECT"),
        (NOTHING, Reply(), "CORRECT"),
        ({}, Reply(), "CORRECT"),
        (WEATHER, Reply(is_malformed=True), "MALFORMED_JSON"),
        (NOTHING, Reply(is_malformed=True), "MALFORMED_JSON"),
        ("no JSON", Reply(is_malformed=True), "MALFORMED_JSON"),
        (WEATHER, Reply(), "NO_CALL_WHEN_EXPECTED"),
        (WEATHER, Reply((Call("get_time", {"city": "Sofia"}),)), "WRONG_FUNCTION"),
        (WEATHER, Reply((VARNA,)), "WRONG_PARAMETERS"),
        (WEATHER, Reply((Call("get_weather", {"city": "Sofia", "unit": "C"}),)), "WRONG_PARAMETERS"),
        (WEATHER, Reply((Call("get_weather", None),)), "WRONG_PARAMETERS"),
        (NOTHING, Reply((SOFIA,)), "UNEXPECTED_CALL"),
        ("no JSON", Reply((SOFIA,)), "DATA_FORMAT_ERROR"),
        ("[]", Reply(), "DATA_FORMAT_ERROR"),
        (5, Reply(), "DATA_FORMAT_ERROR"),
        ({"should_call_function": True}, Reply(), "DATA_FORMAT_ERROR"),
        (WEATHER, Reply(is_failed=True), "API_ERROR"),
        (NOTHING, Reply(is_failed=True), "API_ERROR"),
        (WEATHER, Reply((SOFIA, VARNA)), "CORRECT"),  # the first counts
        (BOTH, Reply((SOFIA, VARNA)), "CORRECT"),
        (BOTH, Reply((VARNA, SOFIA)), "CORRECT"),
        (BOTH, Reply((SOFIA,)), "WRONG_FUNCTION"),
        (BOTH, Reply((SOFIA, SOFIA)), "WRONG_PARAMETERS"),
        (BOTH, Reply((SOFIA, Call("get_time", {}))), "WRONG_FUNCTION"),
        (BOTH, Reply(), "NO_CALL_WHEN_EXPECTED"),
    ],
)
def test_a_reply_gets_the_first_verdict_that_holds(behavior: object, reply: Reply, verdict: Verdict) -> None:
    assert judge(behavior, reply) == verdict


def test_no_parameters_and_none_are_the_same() -> None:
    behavior = {"should_call_function": True, "expected_function": "now", "expected_parameters": None}
    assert judge(behavior, Reply((Call("now", {}),))) == "CORRECT"
    assert judge({**behavior, "expected_parameters": {}}, Reply((Call("now", None),))) == "CORRECT"


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("Sofia", " sofia "),
        ("STRASSE", "straße"),
        ("София", "Sofia"),
        ("София", "Sofiya"),
        ("Пловдив", "plovdiv"),
        ("Жлъчка, Щъркел.", "Zhlchka, Shchrkel"),  # ъ is left out
        ("Юлия Цачева", "yuliya  tsacheva"),
        ("Добър ден!", "„добър ден“"),
        ("5", 5),
        (5, "5"),
        (2.5, "2.5"),
        ("2.0", 2),
        (5, 5.0),
        ([1, "Варна"], ["1", "Varna"]),
        ({"a": {"b": "да"}}, {"a": {"b": "DA"}}),
        (None, None),
        (True, True),
    ],
)
def test_values_are_the_same_in_either_script_case_and_type(expected: Any, actual: Any) -> None:
    assert are_same(expected, actual)
    assert are_same(actual, expected)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("София", "Варна"),
        ("five", 5),
        ("5,0", 5),
        ("", 0),
        (None, ""),
        (None, {}),
        (None, False),
        (True, 1),
        (True, "true"),
        ("1", True),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": 1, "b": None}),
        ({"a": 1}, [1]),
        ("a", ["a"]),
    ],
)
def test_other_values_are_not(expected: Any, actual: Any) -> None:
    assert not are_same(expected, actual)
    assert not are_same(actual, expected)


def test_a_summary_counts_the_right_ones_by_scenario_and_the_others_by_verdict() -> None:
    summary = summarise(
        [("call", "CORRECT"), ("call", "WRONG_FUNCTION"), ("no_call", "CORRECT"), ("enum", "WRONG_FUNCTION")]
    )
    assert (summary.total, summary.correct, summary.accuracy) == (4, 2, 0.5)
    assert summary.by_scenario == {"call": (1, 2), "enum": (0, 1), "no_call": (1, 1)}
    assert summary.errors == {"WRONG_FUNCTION": 2}
    assert summarise([]).accuracy == 0
