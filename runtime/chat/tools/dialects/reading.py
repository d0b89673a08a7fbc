"""Reads what models write: calls in JSON and in Python's form. Nothing is ever run.

Every function raises `Unfinished` where the text ends within a string, and `ValueError` for anything else that is no
call.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any, NoReturn

from runtime.chat.tools.dialects.base import ReadCall, Unfinished

# What models call the two parts of a call.
_NAMES = ("name", "function", "tool")
_ARGUMENTS = ("arguments", "parameters", "args")
_PYTHON_HEAD = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*\(")
_PYTHON_KEY = re.compile(r"\s*([^\W\d]\w*)\s*=")
_CONSTANTS = {"True": True, "False": False, "None": None}
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


def read_calls(text: str) -> list[ReadCall]:
    """The calls of a JSON text: an object, or a list of them."""
    value = read_json(text)
    calls = value if isinstance(value, list) else [value]
    if not calls:
        raise ValueError("an empty list calls nothing")
    return [_call_of(call) for call in calls]


def read_json(text: str) -> Any:
    """The value of a JSON text."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as fault:
        if fault.msg.startswith("Unterminated string"):
            raise Unfinished(text) from None
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_row(text: str, separator: str) -> list[ReadCall]:
    """The calls of JSON objects one after the other, with `separator` between them."""
    calls: list[ReadCall] = []
    rest = text.strip()
    decoder = json.JSONDecoder(parse_constant=_no_number)
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        calls.append(_call_of(value))
        rest = rest[end:].lstrip()
        if rest:
            head, mark, rest = rest.partition(separator)
            if head or not mark:
                raise ValueError("something else follows a call")
            rest = rest.lstrip()
    if not calls:
        raise ValueError("there is no call")
    return calls


def to_read_call(name: object, arguments: object) -> ReadCall:
    """A call of two values, checked."""
    if isinstance(arguments, str):
        arguments = read_json(arguments) if arguments.strip() else {}
    if not isinstance(name, str) or not isinstance(arguments, dict | None):
        raise ValueError("it has no name, or its arguments are no object")
    written = json.dumps(arguments or {}, ensure_ascii=False, allow_nan=False)
    # Half a surrogate pair is no text that could be sent on.
    written.encode()
    return ReadCall(name, written)


def read_python(text: str) -> list[ReadCall]:
    """The calls of a text such as `[weather(city="Sofia"), time()]`, with values of Python or of JSON."""
    body = text.strip()
    if body.startswith("["):
        if not body.endswith("]"):
            raise Unfinished(text)
        body = body[1:-1]
    calls: list[ReadCall] = []
    at = 0
    while body[at:].strip():
        head = _PYTHON_HEAD.match(body, at)
        if head is None:
            raise ValueError("it is no call")
        arguments: dict[str, Any] = {}
        at = head.end()
        while not body[at:].lstrip().startswith(")"):
            key = _PYTHON_KEY.match(body, at)
            if key is None:
                raise ValueError("an argument has no name")
            end = value_end(body, key.end())
            arguments[key[1]] = _python_value(body[key.end() : end])
            at = end + (body[end] == ",")
        at = body.index(")", at) + 1
        calls.append(to_read_call(head[1], arguments))
        rest = body[at:].lstrip()
        if rest and rest[0] not in ",;\n":
            raise ValueError("something else follows a call")
        at = len(body) - len(rest) + (1 if rest else 0)
    if not calls:
        raise ValueError("there is no call")
    return calls


def value_end(text: str, start: int) -> int:
    """Where the value that begins at `start` ends: at a comma or a closing bracket that is not its own."""
    open_brackets: list[str] = []
    quote = ""
    at = start
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in _CLOSERS:
            open_brackets.append(_CLOSERS[char])
        elif open_brackets and char == open_brackets[-1]:
            open_brackets.pop()
        elif not open_brackets and char in ",)}]":
            return at
        at += 1
    raise Unfinished(text)


def _python_value(text: str) -> Any:
    text = text.strip()
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    try:
        return read_json(text)
    except ValueError:
        return _literal(text)


def _literal(text: str) -> Any:
    """A literal of Python."""
    try:
        # Python warns of escapes that mean nothing.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (SyntaxError, RecursionError, MemoryError, TypeError) as fault:
        raise ValueError(str(fault)) from None


def _call_of(value: object) -> ReadCall:
    if not isinstance(value, dict):
        raise ValueError("a call is an object")
    inner = value.get("function")
    if isinstance(inner, dict):
        value = inner
    name = next((value[key] for key in _NAMES if key in value), None)
    arguments = next((value[key] for key in _ARGUMENTS if key in value), None)
    return to_read_call(name, arguments)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
