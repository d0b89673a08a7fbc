"""What a model is told of its tools where no text of its own for that is known: in the user's language."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.writing import function_of, lines, to_json

EXAMPLE = ToolCall("", "NAME", '{"ARGUMENT": "VALUE"}')


def told(tools: Sequence[Tool], example: str, language: str | None) -> str:  # noqa: ARG001
    """The tools, and how to call one: as in `example`."""
    return (
        "You can use tools. Call one only where it is needed to answer.\n\n"
        f"# Tools\n\n{lines(to_json(function_of(tool)) for tool in tools)}\n\n"
        f"# Calling a tool\n\nTo call a tool, answer with this form and nothing else:\n\n{example}\n\n"
        "You will then be given its result."
    )
