"""What keeps an answer to the calls that a request allows: a grammar, written in the model's dialect."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from runtime.chat.tools.call import Tool
from runtime.chat.tools.dialects.base import Dialect
from runtime.chat.tools.dialects.writing import json_rule, literal
from runtime.chat.tools.use import ToolUse
from runtime.engine.constraints import Constraint, Trigger
from runtime.errors import InvalidRequest

# White space at the places where models differ: they choose where they are free, and need not where they are not.
_FREE_GAP, _FORCED_GAP = r"gap: /[ \n]{0,2}/", r'gap: "\n"'


def constraint_of(use: ToolUse, dialect: Dialect, answer: Constraint | None = None) -> Constraint:
    """What keeps an answer to well-formed calls of the tools that are allowed, and, where it has none, to `answer`.

    A call that must be has its constraint from the first token on. Where the model is free, the constraint of a call
    begins where a call does.

    Raises:
        InvalidRequest: the schema of a tool that must be kept to cannot be, or `answer` cannot be joined with it.
    """
    if use.choice == "required":
        return Constraint("lark", _calls_first(use, dialect, use.allowed), dialect.marks, param="tools")
    if answer is None:
        trigger = Trigger(
            dialect.starts(use.allowed),
            is_first=dialect.is_first,
            times=use.max_calls if dialect.end and dialect.between is not None else 1,
        )
        return _relaxing(use, dialect, lambda tools: _call_alone(use, dialect, tools), trigger)
    schema = _schema_of(answer)
    return _relaxing(use, dialect, lambda tools: _calls_first(use, dialect, tools, schema), None)


def _relaxing(
    use: ToolUse, dialect: Dialect, write: Callable[[tuple[Tool, ...]], str], trigger: Trigger | None
) -> Constraint:
    """The constraint whose source `write` makes of the tools, or, where these cannot be kept to, of looser ones."""
    relaxed = write(tuple(map(_relaxed, use.allowed)))
    try:
        source = write(use.allowed)
    except InvalidRequest:
        if any(tool.is_strict for tool in use.allowed):
            raise
        source = relaxed
    return Constraint("lark", source, dialect.marks, trigger, relaxed=relaxed, param="tools")


def _call_alone(use: ToolUse, dialect: Dialect, tools: Sequence[Tool]) -> str:
    """The grammar of a section that the model has begun."""
    return f"start: section\n{_FREE_GAP}\n{dialect.grammar(tools, use.max_calls)}"


def _calls_first(use: ToolUse, dialect: Dialect, tools: Sequence[Tool], answer: dict[str, Any] | None = None) -> str:
    """The grammar of a whole answer: sections, or JSON that matches `answer` where that is given."""
    calls = "section"
    if dialect.between is not None and use.max_calls > 1:
        calls += f" ({literal(dialect.between)} section){{0,{use.max_calls - 1}}}"
    rules = [f"start: {calls}", _FORCED_GAP, dialect.grammar(tools, use.max_calls)]
    if answer is not None:
        rules[0] += " | answer"
        rules.append(json_rule("answer", answer))
    return "\n".join(rules)


def _schema_of(answer: Constraint) -> dict[str, Any]:
    """The schema of an answer in JSON.

    Raises:
        InvalidRequest: it is to have another form.
    """
    if answer.kind != "json_schema":
        raise InvalidRequest(
            "Tools and a form of the answer other than JSON exclude each other.",
            remedy="Send one of them.",
            param="tools",
        )
    try:
        schema = json.loads(answer.source)
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        raise InvalidRequest("What the answer must match is no JSON schema: that is an object.", param="guided_json")
    return schema


def _relaxed(tool: Tool) -> Tool:
    """The tool with any arguments, unless it is strict."""
    return tool if tool.is_strict else replace(tool, parameters={"type": "object", "additionalProperties": True})
