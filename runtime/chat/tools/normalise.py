"""Arguments of a call in the form that the tool's schema asks for, where a model wrote them as people of a language do.

A value that the schema takes stays as it is, and so does one that could be read in two ways. Every change is told.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.chat.tools.call import Change, Rule, Tool, ToolCall
from runtime.chat.tools.fit import (
    SchemaDocument,
    TooLarge,
    alternatives,
    inner_schemas,
    is_same,
    options_of,
    types_of,
)
from runtime.chat.tools.values.dates import Calendar, date_readings
from runtime.chat.tools.values.names import name_key
from runtime.chat.tools.values.numbers import ascii_digits, number_readings

_GREEK_ACCENT = re.compile("(?<=[\u0370-\u03ff])\u0301")
_MAX_STEPS = 10_000
_MAX_ENUM_CHARS = 256
_DATE_RULES: Mapping[Calendar, Rule] = {
    "gregorian": "date",
    "hijri": "hijri",
    "buddhist": "buddhist",
    "japanese": "japanese",
}


def normalise_call(call: ToolCall, tools: Sequence[Tool]) -> ToolCall:
    """A call with its arguments as that one of `tools` asks for them that it calls."""
    schema = next((tool.parameters for tool in tools if tool.name == call.name), {})
    arguments, changes = normalise(schema, json.loads(call.arguments))
    if not changes:
        return call
    return replace(call, arguments=json.dumps(arguments, ensure_ascii=False), changes=changes)


def normalise(schema: Mapping[str, Any], arguments: Any) -> tuple[Any, tuple[Change, ...]]:
    """The arguments as `schema` asks for them, where they can be read so in one way only; and what changed."""
    changes: list[Change] = []
    try:
        return _walk(SchemaDocument(schema, _MAX_STEPS), schema, arguments, "", changes), tuple(changes)
    except (TooLarge, RecursionError):
        return arguments, ()


def _walk(document: SchemaDocument, schema: Any, value: Any, path: str, changes: list[Change]) -> Any:
    """The value anew, with what changed added to `changes`."""
    if isinstance(value, str):
        found = None if document.fits(schema, value) else _only(document, schema, value)
        if found is not None:
            changes.append(Change(path, value, *found))
            return found[0]
    if isinstance(value, dict | list):
        for part in document.parts(schema):
            for key, inner in inner_schemas(part, value):
                step = str(key).replace("~", "~0").replace("/", "~1")
                new = _walk(document, inner, value[key], f"{path}/{step}", changes)
                if new is not value[key]:
                    value = {**value, key: new} if isinstance(value, dict) else [*value[:key], new, *value[key + 1 :]]
            for group in alternatives(part):
                value = _choose(document, group, value, path, changes)
    return value


def _choose(document: SchemaDocument, group: list[Any], value: Any, path: str, changes: list[Change]) -> Any:
    """The value as one of several schemas asks for it, where that comes to one thing."""
    if any(document.fits(schema, value) for schema in group):
        return value
    found: list[tuple[Any, list[Change]]] = []
    for schema in group:
        made: list[Change] = []
        new = _walk(document, schema, value, path, made)
        if document.fits(schema, new) and not any(is_same(new, other) for other, _ in found):
            found.append((new, made))
    if len(found) != 1:
        return value
    new, made = found[0]
    changes += made
    return new


def _only(document: SchemaDocument, schema: Any, text: str) -> tuple[Any, Rule] | None:
    """What the schema takes the text for, where that is one thing."""
    found: list[tuple[Any, Rule]] = []
    for value, rule in _readings(document, schema, text):
        if document.fits(schema, value) and not any(is_same(value, other) for other, _ in found):
            found.append((value, rule))
    return found[0] if len(found) == 1 else None


def _readings(document: SchemaDocument, schema: Any, text: str) -> Iterator[tuple[Any, Rule]]:
    """What a text may be, to the schema or to one of its alternatives."""
    for part in document.parts(schema):
        kinds, options = types_of(part), options_of(part)
        if options is not None:
            yield from _named(options, text)
        if options is not None or not {"integer", "number"}.isdisjoint(kinds):
            yield from ((number, "number") for number in number_readings(text))
        takes_truth = "boolean" in kinds or any(isinstance(option, bool) for option in options or ())
        if takes_truth and (word := text.strip().casefold()) in {"true", "false"}:
            yield word == "true", "boolean"
        if part.get("format") == "date":
            for day, calendar in date_readings(text):
                iso = day.isoformat()
                yield iso, "digits" if ascii_digits(text) == iso else _DATE_RULES[calendar]
        for group in alternatives(part):
            for one in group:
                yield from _readings(document, one, text)


def _named(options: Sequence[Any], text: str) -> Iterator[tuple[Any, Rule]]:
    """The options that a text may name: those with its letters, whatever their case; failing these, its sounds."""
    if len(text) > _MAX_ENUM_CHARS:
        return
    names = [option for option in options if isinstance(option, str)]
    same = [name for name in names if _fold(name) == _fold(text)]
    for name in same:
        yield name, "digits" if ascii_digits(text) == name else "case"
    if not same and (key := name_key(text)):
        yield from ((name, "transliteration") for name in names if name_key(name) == key)


def _fold(text: str) -> str:
    """What is equal for texts that differ in case, digits, width and white space only.

    Turkish's two letters are an i, and Greek's have no accent, which capitals are written without.
    """
    folded = ascii_digits(unicodedata.normalize("NFKC", text)).casefold().replace("i\u0307", "i").replace("ı", "i")
    plain = _GREEK_ACCENT.sub("", unicodedata.normalize("NFD", folded))
    return " ".join(unicodedata.normalize("NFC", plain).split())
