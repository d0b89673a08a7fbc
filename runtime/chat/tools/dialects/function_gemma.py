"""FunctionGemma: `<start_function_call>call:NAME{key:<escape>text<escape>,count:3}<end_function_call>`.

https://ai.google.dev/gemma/docs/functiongemma/formatting-and-best-practices.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.chat.template import Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall, Unfinished
from runtime.chat.tools.dialects.keywords import NOTES, is_free, properties_of, refuse_others, sequence, unenforceable
from runtime.chat.tools.dialects.reading import read_json, to_read_call
from runtime.chat.tools.dialects.writing import literal, to_json

START = "<start_function_call>"
END = "<end_function_call>"
QUOTE = "<escape>"
RESPONSE = "<start_function_response>"
_HEAD = re.compile(r"\s*call:([\w.-]+)\s*\{")
_KEY = re.compile(r"\s*([^\s:{}\[\],<]+)\s*:\s*")
_PLAIN = re.compile(r"[^,\[\]{}<]*")
_MAX_DEPTH = 32
# Without these words it does not call anything.
_TRIGGER = "You are a model that can do function calling with the following functions"


class FunctionGemma(Dialect):
    """See the module."""

    name = "function-gemma"
    end = END
    marks = (START, END, QUOTE, RESPONSE)
    stops = (RESPONSE,)
    between = ""

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:  # noqa: ARG002  # the same for all
        """See `Dialect.starts`."""
        return (START,)

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        body = section.removeprefix(START).removesuffix(END)
        if body.count(QUOTE) % 2:
            raise Unfinished(section)
        head = _HEAD.match(body)
        if head is None:
            raise ValueError("it is no call")
        arguments, end = _read_object(body, head.end(), _MAX_DEPTH)
        if body[end:].strip():
            raise ValueError("something else follows the call")
        return [to_read_call(head[1], arguments)]

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:  # noqa: ARG002  # one to a section
        """See `Dialect.grammar`."""
        rules = [
            f"section: mark_0 ({' | '.join(f'call_{index}' for index in range(len(tools)))}) mark_1",
            "text: mark_2 TEXT mark_2",
            'free: "{" (PLAIN | text | free)* "}"',
            "TEXT: /[^<]*/",
            "PLAIN: /[^<{}]+/",
            "INTEGER: /-?(0|[1-9][0-9]{0,14})/",
            "NUMBER: /-?(0|[1-9][0-9]{0,14})(\\.[0-9]{1,9})?/",
        ]
        for index, tool in enumerate(tools):
            values = "free" if is_free(tool) else _object_of(tool, dict(tool.parameters))
            rules.append(f"call_{index}: {literal(f'call:{tool.name}')} {values}")
        return "\n".join(rules)

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        return "".join(f"{START}call:{call.name}{_write(json.loads(call.arguments))}{END}" for call in calls)

    def describe(self, tools: Sequence[Tool], language: str | None) -> str:  # noqa: ARG002  # trained with these words
        """See `Dialect.describe`."""
        declared = "".join(
            f"<start_function_declaration>declaration:{tool.name}"
            f"{_write({'description': tool.description, 'parameters': _declared(tool.parameters)})}"
            "<end_function_declaration>"
            for tool in tools
        )
        return f"{_TRIGGER}{declared}"

    def introduce(self, messages: Sequence[Message]) -> list[Message]:
        """See `Dialect.introduce`."""
        if messages[0].role != "system":
            return [Message("system", _TRIGGER), *messages]
        if _TRIGGER in messages[0].content:
            return list(messages)
        return [replace(messages[0], content=f"{messages[0].content}\n{_TRIGGER}"), *messages[1:]]

    def answer(self, result: Message) -> str:
        """See `Dialect.answer`."""
        content = _write({"value": result.content})
        return f"{RESPONSE}response:{result.name or ''}{content}<end_function_response>"


def _read_object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    """The object whose brace is before `at`, and where it ends."""
    values: dict[str, Any] = {}
    while True:
        if closing := re.compile(r"\s*\}").match(text, at):
            return values, closing.end()
        key = _KEY.match(text, at)
        if key is None:
            raise ValueError("a value has no key")
        values[key[1]], at = _read_value(text, key.end(), depth - 1)
        at = _after_comma(text, at, "}")


def _read_value(text: str, at: int, depth: int) -> tuple[Any, int]:
    if depth < 0:
        raise ValueError("it is nested too deeply")
    if text.startswith(QUOTE, at):
        end = text.index(QUOTE, at + len(QUOTE))
        return text[at + len(QUOTE) : end], end + len(QUOTE)
    if text.startswith("{", at):
        return _read_object(text, at + 1, depth)
    if text.startswith("[", at):
        values, at = [], at + 1
        while not text.startswith("]", at):
            value, at = _read_value(text, at, depth - 1)
            values.append(value)
            at = _after_comma(text, at, "]")
        return values, at + 1
    plain = _PLAIN.match(text, at)
    assert plain is not None  # noqa: S101  # it matches nothing as well
    word = plain[0].strip()
    try:
        return read_json(word), plain.end()
    except ValueError:
        if not word:
            raise
        return word, plain.end()


def _after_comma(text: str, at: int, closing: str) -> int:
    if text.startswith(",", at):
        return at + 1
    if not text.startswith(closing, at):
        raise ValueError("a value does not end")
    return at


def _write(value: object) -> str:
    match value:
        case str():
            return f"{QUOTE}{value}{QUOTE}"
        case Mapping():
            return f"{{{','.join(f'{key}:{_write(inner)}' for key, inner in value.items())}}}"
        case list() | tuple():
            return f"[{','.join(map(_write, value))}]"
        case _:
            return to_json(value)


def _declared(schema: object) -> object:
    """A schema with its keys in their order and its types in capitals, as the model was trained."""
    match schema:
        case Mapping():
            return {
                key: value.upper() if key == "type" and isinstance(value, str) else _declared(value)
                for key, value in sorted(schema.items())
            }
        case list():
            return [_declared(value) for value in schema]
        case _:
            return schema


def _object_of(tool: Tool, schema: dict[str, Any]) -> str:
    """What matches an object of the schema."""
    properties, required = properties_of(Tool(tool.name, "", schema), FunctionGemma.name)
    pairs = {key: f"({literal(f'{key}:')} {_value_of(tool, value)})" for key, value in properties.items()}
    return f'"{{" {sequence(pairs, required, ",")} "}}"'


def _value_of(tool: Tool, schema: dict[str, Any]) -> str:
    """What matches a value of the schema.

    Raises:
        InvalidRequest: the schema asks for what cannot be enforced.
    """
    kind = schema.get("type")
    choices: Any = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if kind == "object":
        return _object_of(tool, schema)
    refuse_others(
        schema, NOTES | {"type", "enum", "const", *(("items",) if kind == "array" else ())}, tool, FunctionGemma.name
    )
    if isinstance(choices, list) and choices:
        return f"({' | '.join(_choice(choice) for choice in choices)})"
    match kind:
        case "string" | None:
            return "text"
        case "integer" | "number":
            return "INTEGER" if kind == "integer" else "NUMBER"
        case "boolean":
            return '("true" | "false")'
        case "null":
            return '"null"'
        case "array":
            item = _value_of(tool, schema.get("items", {}))
            return f'("[" ({item} ("," {item})*)? "]")'
        case _:
            raise unenforceable(tool, FunctionGemma.name, "type")


def _choice(value: object) -> str:
    return f"(mark_2 {literal(value)} mark_2)" if isinstance(value, str) else literal(to_json(value))
