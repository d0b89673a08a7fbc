"""What a request says of tools is kept: checked against the grammars themselves, byte by byte."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.constraint import constraint_of
from runtime.chat.tools.dialects.registry import DIALECTS
from runtime.chat.tools.parser import parser_of
from runtime.chat.tools.use import ToolUse
from runtime.config import ToolLimits
from runtime.engine.constraints import Constraint, ConstraintCompiler, GrammarMatcher, Matcher
from runtime.errors import InvalidRequest
from tests.fakes.decoder import ByteTokenizer
from tests.runtime.chat.tools.examples import ANSWERS, CALLS, TOOLS

COMPILER = ConstraintCompiler(ByteTokenizer())


def matcher(use: ToolUse, dialect: str, answer: Constraint | None = None) -> Matcher:
    return COMPILER.compile(constraint_of(use, DIALECTS[dialect], answer))


def allows(found: Matcher, text: str) -> bool:
    """Whether an answer may begin so."""
    assert isinstance(found, GrammarMatcher)
    tokens = [byte + 1 for byte in text.encode()]
    return found.matcher.validate_tokens(tokens) == len(tokens)


def write(dialect: str, name: str, **arguments: Any) -> str:
    return DIALECTS[dialect].write([ToolCall("", name, json.dumps(arguments, ensure_ascii=False))])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_required_call_is_the_only_answer(dialect: str) -> None:
    found = matcher(ToolUse(TOOLS, "required"), dialect)
    assert allows(found, ANSWERS[dialect])
    assert not allows(found, "The weather")
    assert not allows(found, write(dialect, "get_weather", town="София"))
    assert not allows(found, write(dialect, "get_weather", city="София", unit="K"))
    assert not allows(found, write(dialect, "get_weather", city=3))
    assert not allows(found, write(dialect, "get_weather"))
    assert not allows(found, write(dialect, "send_money", city="София"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_named_tool_is_called_once_and_no_other(dialect: str) -> None:
    found = matcher(ToolUse(TOOLS, "required", named="get_time"), dialect)
    assert allows(found, write(dialect, "get_time"))
    assert not allows(found, write(dialect, "get_weather", city="София"))
    assert not allows(found, DIALECTS[dialect].write([CALLS[1], CALLS[1]]))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_are_not_parallel_where_they_may_not_be(dialect: str) -> None:
    found = matcher(ToolUse(TOOLS, "required", is_parallel=False), dialect)
    assert allows(found, DIALECTS[dialect].write(CALLS[:1]))
    assert not allows(found, ANSWERS[dialect])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_free_answers_are_free_until_a_call_begins(dialect: str) -> None:
    found = matcher(ToolUse(TOOLS, "auto"), dialect)
    text = "" if DIALECTS[dialect].is_first else "Добре < 2 {"
    seen: list[bool] = []
    for token in [byte + 1 for byte in (text + ANSWERS[dialect]).encode()]:
        if found.active is not None:
            assert isinstance(found.active, GrammarMatcher)
            assert found.active.matcher.validate_tokens([token]) == 1
        found.accept(token, may_foretell=False)
        seen.append(found.active is not None)
    assert not any(seen[: len(text.encode())])
    assert sum(seen) > len(CALLS[0].arguments)


def test_an_answer_ends_after_the_first_call_where_there_may_be_one() -> None:
    found = matcher(ToolUse(TOOLS, is_parallel=False), "hermes")
    answer = DIALECTS["hermes"].write(CALLS[:1])
    for token in [byte + 1 for byte in answer.encode()]:
        assert not found.is_complete
        found.accept(token, may_foretell=False)
    assert found.is_complete


def test_a_call_or_an_answer_in_a_form_are_both_possible() -> None:
    form = Constraint(
        "json_schema", '{"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}'
    )
    found = matcher(ToolUse(TOOLS), "hermes", form)
    assert allows(found, '{"ok": true')
    assert allows(found, ANSWERS["hermes"])
    assert not allows(found, "Well")
    assert not allows(matcher(ToolUse(TOOLS, "required"), "hermes", form), '{"ok"')
    for source in ("{", "3"):
        with pytest.raises(InvalidRequest, match="no JSON schema"):
            constraint_of(ToolUse(TOOLS), DIALECTS["hermes"], Constraint("json_schema", source))
    assert allows(matcher(ToolUse((UNKNOWN,)), "hermes", form), write("hermes", "odd", b=1))
    with pytest.raises(InvalidRequest, match="exclude each other"):
        constraint_of(ToolUse(TOOLS), DIALECTS["hermes"], Constraint("regex", "a"))


def test_mistrals_calls_may_have_the_ids_of_its_eleventh_tokenizer() -> None:
    found = matcher(ToolUse(TOOLS, "required"), "mistral-args")
    assert allows(found, '[TOOL_CALLS]get_time[ARGS]{"zone": "UTC"}')
    assert allows(found, '[TOOL_CALLS]get_time[CALL_ID]abcDEF123[ARGS]{"zone": "UTC"}')
    assert not allows(found, "[TOOL_CALLS]get_time[CALL_ID]abc[ARGS]")


def test_without_tools_or_a_choice_of_none_nothing_is_called() -> None:
    for use in (ToolUse(), ToolUse(TOOLS, "none")):
        assert use.allowed == use.told == ()
        assert parser_of(use, DIALECTS["hermes"]) is None


UNKNOWN = Tool("odd", "", {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}})
WHOLE = Tool("odd", "", {"type": "object", "properties": {"a": {"type": "string"}}, "minProperties": 1})


@pytest.mark.parametrize(
    ("dialect", "tool", "keyword"),
    [
        ("hermes", UNKNOWN, "uniqueItems"),
        ("pythonic", UNKNOWN, "uniqueItems"),
        ("pythonic", WHOLE, "minProperties"),
        ("function-gemma", WHOLE, "minProperties"),
        ("function-gemma", replace(WHOLE, parameters={"properties": {"a": {"pattern": "x"}}}), "pattern"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name_where_it_must_be(dialect: str, tool: Tool, keyword: str) -> None:
    for use in (ToolUse((tool,), "required"), ToolUse((replace(tool, is_strict=True),))):
        with pytest.raises(InvalidRequest, match=keyword) as refused:
            matcher(use, dialect)
        assert refused.value.param == "tools"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_where_it_need_not_be_kept_any_arguments_may_come(dialect: str) -> None:
    found = matcher(ToolUse((UNKNOWN,)), dialect)
    for token in [byte + 1 for byte in write(dialect, "odd", b=[1, "x"], c=True).encode()]:
        if found.active is not None:
            assert isinstance(found.active, GrammarMatcher)
            assert found.active.matcher.validate_tokens([token]) == 1
        found.accept(token, may_foretell=False)


def test_tools_may_be_only_some_of_those_there_are() -> None:
    use = ToolUse(TOOLS, "required", among=("get_time",))
    assert use.told == TOOLS
    assert use.allowed == TOOLS[1:]


@pytest.mark.parametrize(
    ("tools", "more", "message", "param"),
    [
        ([Tool("two words", "", {})], {}, "1 to 64", "tools"),
        ([Tool("é", "", {})], {}, "1 to 64", "tools"),
        ([TOOLS[0], TOOLS[0]], {}, "two tools named 'get_weather'", "tools"),
        ([Tool("a", "", {"type": "array"})], {}, "type 'object'", "tools"),
        ([Tool(f"a{at}", "", {}) for at in range(ToolLimits.max_tools + 1)], {}, "at most 128", "tools"),
        ([Tool("a", "x" * ToolLimits.max_chars, {})], {}, "characters", "tools"),
        ([], {"choice": "required"}, "no tools", "tool_choice"),
        (TOOLS, {"choice": "required", "named": "other"}, "no tool named 'other'", "tool_choice"),
        (TOOLS, {"choice": "required", "among": ("other",)}, "no tool named 'other'", "tool_choice"),
        (TOOLS, {"choice": "required", "among": ()}, "no tools", "tool_choice"),
    ],
)
def test_what_cannot_be_honoured_is_refused(tools: list[Tool], more: dict[str, Any], message: str, param: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        ToolUse.checked(tuple(tools), more.pop("choice", "auto"), **more)
    assert refused.value.param == param


def test_numbers_without_bounds_do_not_go_on_for_ever() -> None:
    tool = Tool("add", "", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    found = matcher(ToolUse((tool,), "required"), "hermes")
    assert allows(found, write("hermes", "add", a=-(10**15 - 1)))
    assert not allows(found, write("hermes", "add", a=10**15))
