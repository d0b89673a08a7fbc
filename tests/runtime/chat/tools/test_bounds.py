"""Numbers in calls: a model that would add digits for ever comes to an end of them."""

from __future__ import annotations

import json
from typing import Any

import llguidance.numpy
import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer

from runtime.chat.tools.call import Tool
from runtime.chat.tools.dialects.writing import bounded, closed, json_rule

MOST = 10**15 - 1


@pytest.fixture(scope="module")
def vocabulary() -> LLTokenizer:
    return LLTokenizer("byte")


def follow(vocabulary: LLTokenizer, schema: dict[str, Any], wishes: str) -> str:
    """What comes of a model that wants the first of `wishes` which is allowed, for 200 characters."""
    matcher = LLMatcher(vocabulary, json_rule("start", schema))
    assert not matcher.is_error(), matcher.get_error()
    mask = llguidance.numpy.allocate_token_bitmask(1, vocabulary.vocab_size)
    text = ""
    while not matcher.is_stopped() and len(text) < 200:
        llguidance.numpy.fill_next_token_bitmask(matcher, mask)
        allowed = {int(token) for token in np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))}
        wanted = next((ord(wish) for wish in wishes if ord(wish) in allowed), None)
        if wanted is None:
            wanted = min(allowed - {vocabulary.eos_token}, default=None)
        if wanted is None:
            break
        text += chr(wanted)
        matcher.consume_token(wanted)
    return text


@pytest.mark.parametrize("wishes", ["9.", ".0", "-.0", "7."])
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number"},
        {"type": "number", "minimum": 0},
        {"type": "number", "exclusiveMinimum": 0.25, "maximum": 5},
        {"type": ["number", "null"]},
        {"type": "integer", "minimum": 1},
        {"type": ["string", "integer"]},
    ],
)
def test_digits_end(vocabulary: LLTokenizer, schema: dict[str, Any], wishes: str) -> None:
    text = follow(vocabulary, bounded(schema), wishes)
    value = json.loads(text)
    assert abs(value) <= MOST
    assert len(text.partition(".")[2]) <= 9


def test_without_bounds_they_would_not(vocabulary: LLTokenizer) -> None:
    assert len(follow(vocabulary, {"type": "number"}, "9.")) == 200


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "number", "multipleOf": 0.5}, {"minimum": -MOST, "maximum": MOST}),
        ({"type": "integer", "maximum": 7}, {"minimum": -MOST}),
        ({"type": "number", "minimum": 10**18}, {}),
        ({"type": "number", "enum": [1.5, 2.5]}, {}),
        ({"type": "string"}, {}),
        ({}, {}),
    ],
)
def test_what_a_schema_says_itself_stays(schema: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert bounded(schema) == {**schema, **wanted}


def test_every_number_of_a_tool_is_bounded_and_no_value_is_taken_for_a_schema() -> None:
    number = {"type": "number"}
    places = {
        "type": "array",
        "items": {"type": "object", "properties": {"lat": number, "kind": {"default": {"type": "number"}}}},
    }
    schema = closed(Tool("go", "", {"type": "object", "properties": {"to": places}}))
    found = schema["properties"]["to"]["items"]["properties"]
    assert found["lat"] == {**number, "minimum": -MOST, "maximum": MOST, "multipleOf": 1e-9}
    assert found["kind"] == {"default": {"type": "number"}}
