"""Arguments are written as the schema asks, whatever digits, names and calendars the model wrote them in."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.chat.tools.call import Change, Tool, ToolCall
from runtime.chat.tools.normalise import normalise, normalise_call

INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
DATE = {"type": "string", "format": "date"}


def one(schema: dict[str, Any], value: Any) -> tuple[Any, str | None]:
    """What becomes of one argument, and by which rule at last."""
    after, changes = normalise({"type": "object", "properties": {"it": schema}}, {"it": value})
    return after["it"], changes[0].rule if changes else None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        ("٢٥", 25),  # Arabic
        ("۲۵", 25),  # Persian
        ("२५", 25),  # Hindi
        ("২৫", 25),  # Bengali
        ("௨௫", 25),  # Tamil
        ("๒๕", 25),  # Thai
        ("၂၅", 25),  # Burmese
        ("２５", 25),  # full width
        ("-٣", -3),
        ("−3", -3),
        ("1 234 567", 1234567),
        ("1\u202f234\u202f567", 1234567),
        ("1.234.567", 1234567),
        ("12,34,567", 1234567),
        ("1.234", 1234),  # as a decimal number it would not be whole
        ("5,0", 5),
    ],
)
def test_whole_numbers_are_read_in_every_script(text: str, number: int) -> None:
    assert one(INTEGER, text) == (number, "number")
    assert type(one(INTEGER, text)[0]) is int


def test_digits_of_every_script_that_unicode_knows_are_read() -> None:
    zeros = [chr(code) for code in range(sys.maxunicode) if unicodedata.decimal(chr(code), None) == 0]
    assert len(zeros) > 60
    for zero in zeros:
        number, day = ("".join(chr(ord(zero) + int(d)) if d.isdecimal() else d for d in text) for text in TEXTS)
        assert one(INTEGER, number) == (250713, "number")
        assert one({"enum": ["250713"]}, number)[0] == "250713"
        assert one(DATE, day)[0] == "2024-05-31"


TEXTS = ("250713", "2024-05-31")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,5", 1.5),
        ("٣٫١٤", 3.14),
        ("१.५", 1.5),
        ("1.234,56", 1234.56),
        ("1,234.56", 1234.56),
        ("1 234,5", 1234.5),
        ("1’234.5", 1234.5),
        ("١٬٢٣٤٫٥", 1234.5),
        ("1,23,456.78", 123456.78),
        ("0,234", 0.234),
        ("1234,567", 1234.567),
    ],
)
def test_decimal_commas_and_groups_are_read(text: str, number: float) -> None:
    assert one(NUMBER, text) == (number, "number")


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (NUMBER, "1.234"),  # English: 1.234; German: 1234
        (NUMBER, "1,234"),
        (INTEGER, "1.000"),  # one, or a thousand
        (INTEGER, "1,5"),
        (INTEGER, "1२"),  # digits of two scripts
        (INTEGER, "5²"),
        (INTEGER, "½"),
        (INTEGER, "five"),
        (INTEGER, "5 kg"),
        (INTEGER, ""),
        (NUMBER, "1,2,3"),
        (DATE, "05/06/2024"),  # May or June
        (DATE, "05/06/2567 พ.ศ."),
        (DATE, "2024/02/30"),
        (DATE, "1 رمضان 1445 هـ ش"),  # the Persian calendar
        (DATE, "13/05/2567"),  # Buddhist, likely; it does not say so
        (DATE, "1 رمضان 1200"),  # before the tables begin
        (DATE, "1 มกราคม พ.ศ. 2480"),  # the year began in April then
        (DATE, "明治3年1月1日"),  # Japan had another calendar
        (DATE, "昭和64年1月8日"),  # the day after the era's last
        (DATE, "令和0年1月1日"),
        (DATE, "tomorrow"),
        ({"enum": ["Sofia", "SOFIA "]}, "sofia"),
        ({"enum": ["Sofia", "Plovdiv"]}, "Varna"),
        ({"enum": ["Sofia", "Plovdiv"]}, ""),
        ({"type": "boolean"}, "yes"),
        ({"type": "integer", "maximum": 10}, "٢٥"),
    ],
)
def test_what_is_ambiguous_or_unknown_stays_as_it_is(schema: dict[str, Any], text: str) -> None:
    assert one(schema, text) == (text, None)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "٢٥"),
        ({}, "٢٥"),
        ({"type": ["string", "integer"]}, "٢٥"),
        ({"anyOf": [{"type": "string"}, INTEGER]}, "٢٥"),
        ({"enum": ["sofia", "Sofia"]}, "sofia"),
        ({"type": "string"}, "1 رمضان 1445 هـ"),
        (DATE, "2567-05-01"),
        (DATE, "1445-09-01"),
        (INTEGER, 5),
        (INTEGER, None),
        (INTEGER, True),
        (DATE, 5),
    ],
)
def test_what_the_schema_takes_stays_as_it_is_and_what_is_no_text_too(schema: dict[str, Any], value: Any) -> None:
    assert one(schema, value) == (value, None)


@pytest.mark.parametrize(
    ("options", "text", "option", "rule"),
    [
        (["Sofia", "Plovdiv"], "София", "Sofia", "transliteration"),
        (["София", "Пловдив"], "Sofia", "София", "transliteration"),
        (["София", "Пловдив"], "sofiya", "София", "transliteration"),
        (["Shumen"], "„Шумен“", "Shumen", "transliteration"),
        (["Veliko Tarnovo", "Veliko"], "Велико Търново", "Veliko Tarnovo", None),  # ъ is left out: Trnovo
        (["celsius", "fahrenheit"], "Celsius", "celsius", "case"),
        (["straße"], "STRASSE", "straße", "case"),
        (["istanbul"], "İstanbul", "istanbul", "case"),
        (["ISPARTA"], "ısparta", "ISPARTA", "case"),
        (["ΑΘΗΝΑ"], "Αθήνα", "ΑΘΗΝΑ", "case"),
        (["ή", "η"], "Η", "η", None),  # either
        (["CAFÉ", "CAFE"], "café", "CAFÉ", "case"),
        ([True, "maybe"], "True", True, "boolean"),
        (["Ａ１"], "a1", "Ａ１", "case"),
        (["2024", "2025"], "٢٠٢٤", "2024", "digits"),
        ([1, 2, 3], "३", 3, "number"),
        (["Sofia", "SOFIA"], "София", "София", None),
    ],
)
def test_options_are_found_by_case_and_by_sound(options: list[Any], text: str, option: Any, rule: str | None) -> None:
    if rule is None:
        option = text
    assert one({"enum": options}, text) == (option, rule)


@pytest.mark.parametrize(
    ("text", "day", "rule"),
    [
        ("٢٠٢٤-٠٥-٠١", "2024-05-01", "digits"),
        ("२०२४-०५-०१", "2024-05-01", "digits"),
        ("2024/5/1", "2024-05-01", "date"),
        ("2024年5月1日", "2024-05-01", "date"),
        ("２０２４年５月１日", "2024-05-01", "date"),
        ("2024년 5월 1일", "2024-05-01", "date"),
        ("13/06/2024", "2024-06-13", "date"),
        ("1 มกราคม ค.ศ. 2024", "2024-01-01", "date"),
        ("1 มกราคม 2024", "2024-01-01", "date"),
        ("1 رمضان 1445 هـ", "2024-03-11", "hijri"),
        ("١ رمضان ١٤٤٥", "2024-03-11", "hijri"),
        ("1 رَمَضان 1445", "2024-03-11", "hijri"),
        ("١٤٤٥/٠٩/٠١ هـ", "2024-03-11", "hijri"),
        ("1 محرم 1446 هـ", "2024-07-07", "hijri"),
        ("12 جمادى الآخرة ١٤٤٥ هـ", "2023-12-25", "hijri"),
        ("15 Ramadan 1445 AH", "2024-03-25", "hijri"),
        ("10 Dhu al-Hijjah 1445", "2024-06-16", "hijri"),
        ("1 Syawal 1445 H", "2024-04-10", "hijri"),
        ("1 Syawal 1445", "2024-04-10", "hijri"),
        ("1 มกราคม พ.ศ. 2567", "2024-01-01", "buddhist"),
        ("๑ มกราคม ๒๕๖๗", "2024-01-01", "buddhist"),
        ("5 ธ.ค. 2567", "2024-12-05", "buddhist"),
        ("13/05/2567 พ.ศ.", "2024-05-13", "buddhist"),
        ("令和6年5月1日", "2024-05-01", "japanese"),
        ("令和元年5月1日", "2019-05-01", "japanese"),
        ("㋿6年5月1日", "2024-05-01", "japanese"),
        ("R6.5.1", "2024-05-01", "japanese"),
        ("平成31年4月30日", "2019-04-30", "japanese"),
        ("昭和64年1月7日", "1989-01-07", "japanese"),
        ("大正15年12月25日", "1926-12-25", "japanese"),
        ("昭和元年12月25日", "1926-12-25", "japanese"),
    ],
)
def test_dates_of_four_calendars_are_read(text: str, day: str, rule: str | None) -> None:
    assert one(DATE, text) == (day, rule)


def test_a_boolean_in_quotes_is_one() -> None:
    assert one({"type": "boolean"}, "True") == (True, "boolean")
    assert one({"type": "boolean"}, "false") == (False, "boolean")


def test_changes_are_told_with_their_place_in_objects_and_lists() -> None:
    schema = {
        "type": "object",
        "properties": {
            "guests": {"type": "array", "items": {"$ref": "#/$defs/guest"}},
            "a/b": {"prefixItems": [NUMBER, {"type": "string"}], "items": INTEGER},
        },
        "additionalProperties": {"allOf": [{"type": "integer"}, {"minimum": 10}]},
        "$defs": {"guest": {"properties": {"age": INTEGER, "of": {"$ref": "#/$defs/guest"}}}},
    }
    before = {
        "guests": [{"age": 3}, {"age": "٣", "of": {"age": "६"}}],
        "a/b": ["1,5", "५", "५"],
        "more": "१२",
        "few": "१",
    }
    kept = json.dumps(before)
    after, changes = normalise(schema, before)
    assert after == {"guests": [{"age": 3}, {"age": 3, "of": {"age": 6}}], "a/b": [1.5, "५", 5], "more": 12, "few": "१"}
    assert changes == (
        Change("/guests/1/age", "٣", 3, "number"),
        Change("/guests/1/of/age", "६", 6, "number"),
        Change("/a~1b/0", "1,5", 1.5, "number"),
        Change("/a~1b/2", "५", 5, "number"),
        Change("/more", "१२", 12, "number"),
    )
    assert json.dumps(before) == kept


@pytest.mark.parametrize(
    ("options", "value", "after"),
    [
        ([INTEGER, {"type": "null"}], "٥", 5),
        ([INTEGER, NUMBER], "٥", 5),
        ([{"enum": [5]}, {"enum": ["Sofia"]}], "София", "Sofia"),
        ([{"enum": ["Sofia"]}, {"enum": ["SOFIA"]}], "София", "София"),  # either
        ([INTEGER, {"type": "boolean"}], "?", "?"),
        (
            [
                {"properties": {"n": INTEGER}, "required": ["n"], "additionalProperties": False},
                {"properties": {"d": DATE}, "required": ["d"], "additionalProperties": False},
            ],
            {"d": "令和6年5月1日"},
            {"d": "2024-05-01"},
        ),
    ],
)
def test_of_several_schemas_that_one_counts_which_the_value_can_fit(options: Any, value: Any, after: Any) -> None:
    for name in ("anyOf", "oneOf"):
        assert one({name: options}, value)[0] == after


def test_a_schema_that_goes_in_circles_changes_nothing_and_ends_soon() -> None:
    again = {"$ref": "#/$defs/a"}
    start = time.monotonic()
    for loop in ({"anyOf": [again, again]}, {"allOf": [again, again]}, again):
        schema = {"$defs": {"a": loop}, **again}
        assert normalise(schema, "٥") == ("٥", ())
        assert normalise({**schema, "properties": {"n": INTEGER}}, {"n": "٥"}) == ({"n": "٥"}, ())
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5, "enum": 5},
        {"properties": [], "required": 3},
        {"anyOf": {}, "items": 7, "type": "set"},
        {"minimum": "a", "type": "integer"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/nowhere"},
        {"type": "object", "properties": {"it": True}},
    ],
)
def test_schemas_that_are_none_change_nothing(schema: Any) -> None:
    for value in ("x", {"it": "x"}, ["x"], 5, None):
        assert normalise(schema, value) == (value, ())


def test_a_call_keeps_its_script_and_tells_what_changed() -> None:
    tool = Tool("book", "", {"type": "object", "properties": {"people": INTEGER, "place": {"type": "string"}}})
    call = ToolCall("call_1", "book", '{"people": "٤", "place": "مطعم النيل"}')
    change = Change("/people", "٤", 4, "number")
    assert normalise_call(call, [tool]) == ToolCall(
        "call_1", "book", '{"people": 4, "place": "مطعم النيل"}', changes=(change,)
    )


def test_a_call_that_needs_nothing_is_the_same_text() -> None:
    tool = Tool("book", "", {"type": "object", "properties": {"people": INTEGER}})
    call = ToolCall("call_1", "book", '{ "people":4}')
    assert normalise_call(call, [tool]) == call
    other = ToolCall("call_1", "other", '{"people": "٤"}')
    assert normalise_call(other, [tool]) == other


SCHEMAS = st.sampled_from(
    [
        INTEGER,
        NUMBER,
        DATE,
        {"enum": ["Sofia", "2024", 7]},
        {"anyOf": [INTEGER, {"type": "null"}]},
        {"type": "array", "items": NUMBER},
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="0123٣५,. -/年月日Софиsofia", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)


@given(SCHEMAS, VALUES)
def test_what_is_valid_stays_and_what_changes_becomes_valid(schema: dict[str, Any], value: Any) -> None:
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    after, changes = normalise(schema, value)
    if validator.is_valid(value):
        assert (after, changes) == (value, ())
    elif changes and not isinstance(value, list):
        assert validator.is_valid(after)
    assert normalise(schema, after) == (after, ())
