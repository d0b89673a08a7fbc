"""A tool, and a call of it, as the chat layer knows them; the shapes of HTTP are in `runtime/api/`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Rule = Literal["number", "boolean", "digits", "case", "transliteration", "date", "hijri", "buddhist", "japanese"]


@dataclass(frozen=True)
class Tool:
    """What a model is told of a tool.

    `parameters` is the JSON schema of its arguments, which are an object. `is_strict`: a call of it must fit the
    schema, also where the model is free to answer without a call.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    is_strict: bool = False


@dataclass(frozen=True)
class Change:
    """One value that was written anew; `path` is a JSON pointer (RFC 6901) into the arguments."""

    path: str
    before: Any
    after: Any
    rule: Rule


def new_id() -> str:
    """An id for a call, in OpenAI's form."""
    return f"call_{uuid.uuid4().hex[:24]}"


@dataclass(frozen=True)
class ToolCall:
    """A model's wish that a tool be run; `arguments` is JSON text, an object, with every script as it is.

    `changes` are those that `runtime/chat/tools/normalise.py` has made in them.
    """

    id: str
    name: str
    arguments: str
    changes: tuple[Change, ...] = ()

    @classmethod
    def checked(cls, call_id: str, name: str, arguments: str, changes: tuple[Change, ...] = ()) -> ToolCall:
        """A call that came from elsewhere; no arguments at all are none.

        Raises:
            ValueError: the arguments are no JSON object.
        """
        try:
            is_object = isinstance(json.loads(arguments or "{}"), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise ValueError(f"the arguments of a call of '{name}' are no JSON object")
        return cls(call_id, name, arguments or "{}", changes)
