"""Dates that a constrained answer may hold: those that there are."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from runtime.chat.tools.dialects.writing import json_rule
from runtime.text.dates import with_real_dates

VOCABULARY = LLTokenizer("byte")
DATE = {"type": "string", "format": "date"}


def takes(schema: dict[str, Any], text: str) -> bool:
    matcher = LLMatcher(VOCABULARY, json_rule("start", schema))
    assert not matcher.is_error(), matcher.get_error()
    written = json.dumps(text)
    return matcher.try_consume_tokens(VOCABULARY.tokenize_str(written)) == len(written) and matcher.is_accepting()


def is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


@given(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32))
@example(2027, 2, 29)
@example(2028, 2, 29)
@example(1900, 2, 29)
@example(2000, 2, 29)
@example(0, 1, 1)
@example(9999, 12, 31)
@example(2027, 4, 31)
def test_the_dates_are_those_that_there_are(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}"
    assert takes(DATE, text) == is_date(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2027-02-28T10:00:00Z", True),
        ("2028-02-29T23:59:59.5+02:00", True),
        ("2027-02-29T10:00:00Z", False),
        ("2027-02-28", False),
    ],
)
def test_the_date_of_a_time_is_one_too(text: str, wanted: bool) -> None:
    assert takes({"type": "string", "format": "date-time"}, text) is wanted


def test_dates_are_found_wherever_a_schema_is_and_nowhere_else() -> None:
    schema = {
        "$defs": {"day": DATE},
        "properties": {"format": {"type": "string"}, "days": {"type": "array", "items": DATE}},
        "anyOf": [{"format": "date-time"}, {"enum": [{"format": "date"}]}],
    }
    found = with_real_dates(schema)
    assert "pattern" in found["$defs"]["day"]
    assert "pattern" in found["properties"]["days"]["items"]
    assert "pattern" in found["anyOf"][0]
    assert found["anyOf"][1] == schema["anyOf"][1]  # type: ignore[index]
    assert found["properties"]["format"] == {"type": "string"}


def test_a_pattern_of_its_own_stays() -> None:
    own = {**DATE, "pattern": "^2027-"}
    assert with_real_dates(own) == own
