"""Grammars of arguments written as `key=value`, one after the other, where JSON has an object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runtime.chat.tools.call import Tool
from runtime.chat.tools.dialects.writing import literal
from runtime.errors import InvalidRequest

# What an object's schema may say beside its properties: these ask for nothing, or go to each property.
NOTES = frozenset(
    ("$comment", "$schema", "$id", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
)
_SHARED = ("$defs", "definitions")
_UNDERSTOOD = NOTES | {"type", "properties", "required", "additionalProperties", *_SHARED}


def refuse_others(schema: Mapping[str, Any], understood: Iterable[str], tool: Tool, dialect: str) -> None:
    """Refuse keywords of a schema that cannot be enforced.

    Raises:
        InvalidRequest: there is one beside those `understood`.
    """
    for key in schema:
        if key not in understood:
            raise unenforceable(tool, dialect, key)


def unenforceable(tool: Tool, dialect: str, key: str) -> InvalidRequest:
    """The error for a keyword of a tool's schema."""
    return InvalidRequest(
        f"The schema of '{tool.name}' cannot be enforced: this model writes calls in the dialect {dialect}, "
        f"where '{key}' cannot be kept.",
        remedy="Leave the keyword out, or have the model served with another --tool-dialect.",
        param="tools",
    )


def is_free(tool: Tool) -> bool:
    """Whether a tool takes any arguments: its schema names none and refuses none."""
    return "properties" not in tool.parameters and tool.parameters.get("additionalProperties") is True


def properties_of(tool: Tool, dialect: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The schemas of a tool's arguments, each complete, and the names of those that are required.

    Raises:
        InvalidRequest: the schema of the whole asks for more than that.
    """
    schema = tool.parameters
    refuse_others(schema, _UNDERSTOOD, tool, dialect)
    shared = {key: schema[key] for key in _SHARED if key in schema}
    properties = {
        key: {**shared, **(value if isinstance(value, dict) else {})}
        for key, value in schema.get("properties", {}).items()
    }
    required = [key for key in schema.get("required", ()) if isinstance(key, str)]
    for key in required:
        properties.setdefault(key, {**shared})
    return properties, required


def sequence(rules: Mapping[str, str], required: Iterable[str], separator: str) -> str:
    """What matches the required ones of `rules`, and then any of the others, in their order.

    `rules` are names of rules by the names of properties.
    """
    musts = [rules[key] for key in rules if key in set(required)]
    mays = [rules[key] for key in rules if key not in set(required)]
    mark = literal(separator)
    if musts:
        return f" {mark} ".join(musts) + "".join(f" ({mark} {rule})?" for rule in mays)
    # Whichever comes first has no separator before it.
    firsts = [rule + "".join(f" ({mark} {later})?" for later in mays[at + 1 :]) for at, rule in enumerate(mays)]
    return f"({' | '.join(firsts)})?" if firsts else '""'
