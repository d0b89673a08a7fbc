"""Pieces that dialects put together: tools and calls in JSON, and rules of grammars in Lark."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runtime.chat.tools.call import Tool, ToolCall
from runtime.text.dates import VALUES, with_real_dates

# The same form as an answer's (`engine/constraints.py`): keys and punctuation are forced, no script is escaped.
_FORM = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allowed_escapes": 'bfnrt"\\',
}
# A small model may add digits for ever. Numbers beyond these are not the same in every program (RFC 8259, section 6).
_MOST = 10**15 - 1
_LEAST_STEP = 1e-9  # a finer one is more than llguidance can count
_CHOICES = ("enum", "const")
# Beside these a schema says itself which properties there may be.
_OPENERS = ("additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "allOf", "anyOf", "oneOf")


def to_json(value: object, indent: int | None = None) -> str:
    """JSON in the characters of every script."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def function_of(tool: Tool) -> dict[str, Any]:
    """A tool as OpenAI describes it inside `{"type": "function", "function": ...}`."""
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "parameters": dict(tool.parameters)}


def openai_tool(tool: Tool) -> dict[str, Any]:
    """A tool in OpenAI's shape, which chat templates take too."""
    return {"type": "function", "function": function_of(tool)}


def call_json(call: ToolCall, arguments: str = "arguments") -> str:
    """A call as a JSON object; `arguments` is what the model calls them."""
    return f'{{"name": {to_json(call.name)}, "{arguments}": {call.arguments}}}'


def literal(text: str) -> str:
    """A text in Lark."""
    return to_json(text)


def json_rule(name: str, schema: Mapping[str, Any]) -> str:
    """The rule `name`: JSON that matches `schema`."""
    return f"{name}: %json {to_json({**with_real_dates(schema), 'x-guidance': _FORM})}"


def call_rules(tools: Sequence[Tool], before: str, between: str, after: str = "}") -> str:
    """The rule `call`: the name of one of `tools` after `before`, its arguments in JSON after `between`."""
    rules = [f"call: {' | '.join(f'call_{index}' for index in range(len(tools)))}"]
    for index, tool in enumerate(tools):
        head = literal(f"{before}{tool.name}{between}")
        rules += [f"call_{index}: {head} args_{index} {literal(after)}", json_rule(f"args_{index}", closed(tool))]
    return "\n".join(rules)


def json_rules(tools: Sequence[Tool], arguments: str = "arguments") -> str:
    """The rule `call`: a JSON object as `call_json` writes it."""
    return call_rules(tools, '{"name": "', f'", "{arguments}": ')


def row(separator: str, max_calls: int) -> str:
    """What matches up to `max_calls` times the rule `call`, with `separator` between them."""
    return "call" if max_calls == 1 else f"call ({literal(separator)} call){{0,{max_calls - 1}}}"


def closed(tool: Tool) -> dict[str, Any]:
    """The schema of a tool's arguments: an object, of the properties that it names where it does not say otherwise.

    JSON Schema allows any others; a small model left free would invent some. Numbers that have no bounds get some.
    """
    schema: dict[str, Any] = bounded({"type": "object", **tool.parameters})
    if not any(key in schema for key in _OPENERS):
        schema = {"properties": {}, **schema, "additionalProperties": False}
    return schema


def bounded(schema: Any) -> Any:
    """The schema with the bounds that its numbers lack: 15 digits before the point, 9 after it."""
    match schema:
        case list():
            return [bounded(value) for value in schema]
        case {"type": kind} if not any(key in schema for key in _CHOICES) and (bounds := _bounds(schema, kind)):
            return {**_bounded_parts(schema), **bounds}
        case dict():
            return _bounded_parts(schema)
        case _:
            return schema


def _bounded_parts(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if key in VALUES else bounded(value) for key, value in schema.items()}


def _bounds(schema: Mapping[str, Any], kind: object) -> dict[str, Any]:
    """Those that a schema of this `type` lacks, if it allows numbers. One that lies beyond ours is left alone."""
    kinds = kind if isinstance(kind, list) else [kind]
    if not {"integer", "number"} & {each for each in kinds if isinstance(each, str)}:
        return {}
    stated = [schema[key] for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if key in schema]
    if any(not isinstance(value, int | float) or abs(value) > _MOST for value in stated):
        return {}
    lower = {} if {"minimum", "exclusiveMinimum"} & schema.keys() else {"minimum": -_MOST}
    upper = {} if {"maximum", "exclusiveMaximum"} & schema.keys() else {"maximum": _MOST}
    step = {} if "multipleOf" in schema or "number" not in kinds else {"multipleOf": _LEAST_STEP}
    return {**lower, **upper, **step}


def lines(texts: Iterable[str]) -> str:
    """Texts, each on a line."""
    return "\n".join(texts)
