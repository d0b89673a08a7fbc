"""Tools as a Python program gives them: functions, and dictionaries in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from runtime.chat.tools.call import Tool
from runtime.chat.tools.sources.functions import FunctionTools
from runtime.errors import InvalidRequest

GivenTool = Callable[..., Any] | Mapping[str, Any]


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _OpenAITool(msgspec.Struct):
    type: Literal["function"]
    function: _Function


def tools_of(given: Iterable[GivenTool]) -> tuple[Tool, ...]:
    """What a model is told of tools.

    Raises:
        InvalidRequest: a dictionary is no tool.
        ConfigurationInvalid: a function's hints say too little to call it by.
    """
    return tuple(_to_tool(one) for one in given)


def _to_tool(given: GivenTool) -> Tool:
    if not isinstance(given, Mapping):
        return FunctionTools([given]).tools[0].tool
    try:
        function = msgspec.convert(dict(given), _OpenAITool).function
    except msgspec.ValidationError as fault:
        raise InvalidRequest(f"A dictionary is no tool of OpenAI's shape: {fault}.", param="tools") from None
    parameters = function.parameters or {"type": "object", "properties": {}}
    return Tool(function.name, function.description or "", parameters, bool(function.strict))
