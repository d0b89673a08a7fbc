"""Two hundred schemas over every keyword that can be kept: what SmolLM2 writes at temperature 1 fits each of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest

from runtime.engine.constraints import Constraint
from runtime.engine.messages import Delta, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.model import Model

SEEDS = (1, 2, 3)
BOOL, NULL = {"type": "boolean"}, {"type": "null"}
WORD = {"type": "string", "pattern": "^[a-z]{1,6}$"}


def one_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def scalars() -> Iterator[Any]:
    yield from ({"type": name} for name in ("boolean", "null"))
    yield from ({"const": value} for value in (0, -1.5, "да", "", None, True, [1, "二"], {"k": ["v"]}))
    yield from ({"enum": values} for values in (["a"], ["red", "зелен", "蓝"], [1, 2, 3], [None, True, "x"], [[1], {}]))
    yield {"type": ["boolean", "null"]}
    yield {"type": ["integer", "boolean"], "minimum": 0, "maximum": 99}


def numbers() -> Iterator[Any]:
    for low, high in (
        (0, 9),
        (-5, 5),
        (10, 99),
        (100, 100),
        (-1000, -1),
        (7, 1234),
        (0, 10**9),
        (-1, 1),
        (99, 101),
        (12, 3456),
    ):
        yield {"type": "integer", "minimum": low, "maximum": high}
        yield {"type": "integer", "exclusiveMinimum": low - 1, "exclusiveMaximum": high + 1}
        yield {"type": "number", "minimum": low, "maximum": high}
    yield {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    yield {"type": "integer", "minimum": 0, "maximum": 60, "multipleOf": 5}
    yield {"type": "integer", "minimum": 0, "maximum": 1000, "multipleOf": 7}


def strings() -> Iterator[Any]:
    for least, most in ((0, 0), (0, 3), (1, 1), (2, 5), (8, 8), (3, 20)):
        yield {"type": "string", "minLength": least, "maxLength": most}
    for pattern in (
        "^a$",
        "^[A-Z][a-z]{1,8}$",
        "^(yes|no|maybe)$",
        r"^\d{3}-\d{4}$",
        "^[а-я]{2,6}$",
        "^[ぁ-ん]{1,4}$",
        "^[^x]{1,4}$",
        "^(ab){1,3}c?$",
        r"^[a-z]+@[a-z]+\.(com|org)$",
        "^$",
        r"^\S{1,5}$",
        "^#[0-9a-f]{6}$",
        "^[A-F0-9]{2}(:[A-F0-9]{2}){2}$",
        "^(un|deux|trois)( (un|deux|trois)){0,2}$",
        r"^\+[0-9]{2} [0-9]{3}$",
        "^v[0-9]+(\\.[0-9]+){2}$",
        "^[α-ω]{3}$",
        "^[一-龯]{1,3}$",
        "^[가-힣]{2}$",
        "^[ก-ฮ]{1,4}$",
        "^[अ-ह]{1,4}$",
        "^.{4}$",
        "^(a|b)*c$",
        r"^\w+$",
    ):
        yield {"type": "string", "pattern": pattern, "maxLength": 30}
    yield from ({"type": "string", "format": name} for name in ("date", "time", "date-time", "uuid", "ipv4"))


def arrays() -> Iterator[Any]:
    for least, most in ((0, 0), (0, 1), (1, 1), (2, 2), (1, 4), (5, 5)):
        yield {"type": "array", "items": BOOL, "minItems": least, "maxItems": most}
        yield {"type": "array", "items": WORD, "minItems": least, "maxItems": most}
    yield {"type": "array", "prefixItems": [BOOL, NULL], "items": False, "minItems": 2}
    yield {"type": "array", "prefixItems": [WORD], "items": BOOL, "minItems": 1, "maxItems": 3}
    yield {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}, WORD], "items": False}
    yield {"type": "array", "items": {"type": "array", "items": BOOL, "maxItems": 2}, "maxItems": 3}
    yield {"type": "array", "items": one_of(a=BOOL), "minItems": 1, "maxItems": 2}
    yield {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 3, "maxItems": 3}


def objects() -> Iterator[Any]:
    kinds = [BOOL, NULL, WORD, {"type": "integer", "minimum": 0, "maximum": 9}, {"enum": ["x", "ж"]}]
    for first, second in itertools.product(kinds, kinds):
        yield one_of(first=first, второй=second)
        yield {"type": "array", "items": one_of(a=first, b=second), "minItems": 1, "maxItems": 2}
    for required in ([], ["a"], ["b"], ["a", "c"]):
        yield {"type": "object", "properties": {"a": BOOL, "b": WORD, "c": NULL}, "required": required} | {
            "additionalProperties": False
        }
    yield {"type": "object", "additionalProperties": False}
    yield {"type": "object", "properties": {"a": BOOL}, "required": ["a"], "additionalProperties": BOOL} | {
        "maxProperties": 3
    }
    yield {"type": "object", "patternProperties": {"^k[0-9]$": BOOL}, "additionalProperties": False} | {
        "minProperties": 1,
        "maxProperties": 3,
    }
    yield one_of(deep=one_of(deeper=one_of(deepest=WORD)))
    yield one_of(**{f"key {number}": BOOL for number in range(12)})
    yield one_of(**{'quote"d': BOOL, "back\\slash": BOOL, "new\nline": BOOL, "😀": BOOL, "": BOOL})


def combined() -> Iterator[Any]:
    yield {"anyOf": [BOOL, WORD]}
    yield {"anyOf": [one_of(a=BOOL), one_of(b=WORD)]}
    yield {"oneOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "null"}]}
    yield {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 30}]}
    yield {"allOf": [{"type": "string", "minLength": 2}, {"maxLength": 4}]}
    yield {"anyOf": [{"const": "a"}, {"const": "ab"}, {"const": "abc"}]}
    tree = {"type": "object", "properties": {"leaf": BOOL, "more": {"$ref": "#/$defs/tree"}}, "required": ["leaf"]}
    yield {"$defs": {"tree": tree | {"additionalProperties": False}}, "$ref": "#/$defs/tree"}
    yield {"$defs": {"w": WORD}, "type": "array", "items": {"$ref": "#/$defs/w"}, "minItems": 1, "maxItems": 3}
    yield {"definitions": {"b": BOOL}} | one_of(x={"$ref": "#/definitions/b"})
    yield one_of(maybe={"anyOf": [NULL, one_of(inner=BOOL)]})
    yield {"title": "T", "description": "D", "examples": [1], "default": True, "type": "boolean"}


def written() -> Iterator[Any]:
    """Forms as programs ask for them."""
    month = {"type": "integer", "minimum": 1, "maximum": 12}
    text = {"type": "string", "maxLength": 12}
    yield one_of(name=text, age={"type": "integer", "minimum": 0, "maximum": 130}, email=WORD)
    yield one_of(function={"enum": ["search", "open"]}, arguments=one_of(query=text, limit=month))
    yield one_of(
        sentiment={"enum": ["positive", "neutral", "negative"]}, score={"type": "number", "minimum": 0} | {"maximum": 1}
    )
    yield one_of(language={"enum": ["bul", "eng", "swh"]}, translation=text)
    yield one_of(steps={"type": "array", "items": one_of(number=month, what=text), "minItems": 1, "maxItems": 3})
    yield one_of(date={"type": "string", "format": "date"}, month=month, is_holiday=BOOL)
    yield one_of(labels={"type": "array", "items": {"enum": ["PER", "LOC", "ORG"]}, "maxItems": 4})
    yield one_of(answer={"anyOf": [text, NULL]}, sources={"type": "array", "items": text, "maxItems": 2})


def more_words() -> Iterator[Any]:
    """Keys and values in many scripts."""
    for word in (
        "ключ",
        "κλειδί",
        "مفتاح",
        "מפתח",
        "कुंजी",
        "চাবি",
        "ключ с интервал",
        "钥匙",
        "鍵",
        "열쇠",
        "กุญแจ",
        "ቁልፍ",
    ):
        yield one_of(**{word: {"enum": [word, f"{word}-{word}"]}})
        yield {"type": "array", "items": {"const": word}, "minItems": 1, "maxItems": 2}


SCHEMAS = [
    schema for make in (scalars, numbers, strings, arrays, objects, combined, written, more_words) for schema in make()
]


def test_there_are_two_hundred_different_schemas() -> None:
    assert len({json.dumps(schema, sort_keys=True) for schema in SCHEMAS}) == len(SCHEMAS) >= 200


@pytest.fixture(scope="module")
def answers(smollm2: Model) -> dict[tuple[int, int], tuple[str, str]]:
    """Text and reason of every schema and seed; all at once, so that the batch is full."""
    requests = {}
    prompt = smollm2.card.chat_request("Fill in the form.").prompt
    for (at, schema), seed in itertools.product(enumerate(SCHEMAS), SEEDS):
        constraint = Constraint("json_schema", json.dumps(schema, ensure_ascii=False))
        requests[f"{at} {seed}"] = Generate(
            f"{at} {seed}",
            prompt,
            SamplingParams(temperature=1.0, seed=seed),
            120,
            parse_special=True,
            constraint=constraint,
        )
    found: dict[tuple[int, int], tuple[str, str]] = {}
    # Several at a time, each from a thread of its own, as a server's requests come.
    with ThreadPoolExecutor(16) as threads:
        for name, events in threads.map(lambda one: (one[0], list(smollm2.events(one[1]))), requests.items()):
            last = events[-1]
            assert isinstance(last, Finished)
            at, seed = map(int, name.split())
            found[at, seed] = "".join(event.text for event in events if isinstance(event, Delta)), last.reason
    return found


@pytest.mark.timeout(400)
def test_every_finished_answer_fits_its_schema(answers: dict[tuple[int, int], tuple[str, str]]) -> None:
    misfits = []
    for (at, _), (text, reason) in answers.items():
        schema = SCHEMAS[at]
        checker = jsonschema.Draft202012Validator(schema)
        if reason == "stop" and not checker.is_valid(json.loads(text)):
            misfits.append((schema, text))
    assert not misfits
    finished = sum(reason == "stop" for _, reason in answers.values())
    assert finished > 0.9 * len(answers)
    assert not any("\\u" in text for text, _ in answers.values())
