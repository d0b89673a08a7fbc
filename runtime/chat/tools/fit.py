"""Whether a value is what a JSON schema asks for: types, enumerations, bounds, dates, and the parts of a value.

It is for those who must choose between readings of a value. What it does not know of JSON Schema it takes as met.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": (int, float),
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class TooLarge(Exception):
    """Schema and value together need more steps than are spent on them."""


class SchemaDocument:
    """A schema whose parts may refer to each other, and the steps that are left to follow them."""

    def __init__(self, root: Mapping[str, Any], max_steps: int) -> None:
        """References may go in circles, and alternatives multiply: after `max_steps` it raises `TooLarge`."""
        self._root = root
        self._num_left = max_steps

    def parts(self, schema: Any) -> Iterator[Mapping[str, Any]]:
        """The schemas that a value must match all of: this one, those that it refers to, and those of `allOf`."""
        self._num_left -= 1
        if self._num_left < 0:
            raise TooLarge
        if not isinstance(schema, Mapping):
            return
        yield schema
        if isinstance(reference := schema.get("$ref"), str):
            yield from self.parts(self._resolve(reference))
        for part in _listed(schema.get("allOf")):
            yield from self.parts(part)

    def fits(self, schema: Any, value: Any) -> bool:
        """Whether `value`, with all its parts, is what `schema` asks for."""
        return all(self._fits_part(part, value) for part in self.parts(schema))

    def _fits_part(self, part: Mapping[str, Any], value: Any) -> bool:
        if not _takes(part, value):
            return False
        if isinstance(value, dict):
            if any(name not in value for name in _listed(part.get("required"))):
                return False
            if part.get("additionalProperties") is False and not set(value) <= set(part.get("properties", {})):
                return False
        if not all(self.fits(inner, value[key]) for key, inner in inner_schemas(part, value)):
            return False
        return all(any(self.fits(one, value) for one in group) for group in alternatives(part))

    def _resolve(self, reference: str) -> Any:
        """The part that `#/...` points to; other references lead out of the document, and are not followed."""
        found: Any = self._root
        if not reference.startswith("#"):
            return {}
        for step in filter(None, reference[1:].split("/")):
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or key not in found:
                return {}
            found = found[key]
        return found


def _takes(part: Mapping[str, Any], value: Any) -> bool:
    """Whether a schema takes a value for itself, whatever is inside it."""
    if (kinds := types_of(part)) and not any(_is(value, kind) for kind in kinds):
        return False
    if (options := options_of(part)) is not None and not any(is_same(value, option) for option in options):
        return False
    if part.get("format") == "date" and isinstance(value, str):
        return _is_date(value)
    if _is(value, "number"):
        low, high, above, below = (bound if _is(bound := part.get(name), "number") else None for name in _BOUNDS)
        return (
            (low is None or value >= low)
            and (high is None or value <= high)
            and (above is None or value > above)
            and (below is None or value < below)
        )
    return True


def types_of(part: Mapping[str, Any]) -> tuple[str, ...]:
    """The types that a schema names; none where it takes all."""
    kinds = part.get("type")
    return (kinds,) if isinstance(kinds, str) else tuple(_listed(kinds))


def options_of(part: Mapping[str, Any]) -> list[Any] | None:
    """The values that a schema lists, where it does."""
    if "const" in part:
        return [part["const"]]
    options = part.get("enum")
    return options if isinstance(options, list) else None


def alternatives(part: Mapping[str, Any]) -> list[list[Any]]:
    """Groups of schemas of which a value must match one."""
    return [group for name in ("anyOf", "oneOf") if (group := _listed(part.get(name)))]


def inner_schemas(part: Mapping[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
    """The keys of an object or a list, each with the schema of what is there."""
    if isinstance(value, dict):
        named = part.get("properties")
        named = named if isinstance(named, Mapping) else {}
        others = None if "patternProperties" in part else part.get("additionalProperties")
        for key in value:
            yield key, named.get(key, others)
    if isinstance(value, list):
        first = _listed(part.get("prefixItems"))
        for index in range(len(value)):
            yield index, first[index] if index < len(first) else part.get("items")


def is_same(one: Any, other: Any) -> bool:
    """Equality of JSON values, to which `true` is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, object))


def _is_date(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) and date.fromisoformat(text))
    except ValueError:
        return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
