"""What a model is told of its tools, in the user's language."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.writing import function_of, to_json
from runtime.chat.tools.prompts import prompts_for

EXAMPLE = ToolCall("", "NAME", '{"ARGUMENT": "VALUE"}')


def told(tools: Sequence[Tool], example: str, blocks: tuple[str, str], language: str | None) -> str:
    """That it may call `tools`, and how: as in `example`. `blocks` are the names of a call's block and its result's."""
    words = prompts_for(language)
    start, result = blocks
    return "\n\n".join(
        (
            words.access,
            words.form.format(start=start, result=result),
            f"## {words.form_heading}\n{example}",
            f"## {words.tools_heading}\n{tool_list(tools)}",
        )
    )


def tool_list(tools: Sequence[Tool]) -> str:
    """The tools as a list in JSON."""
    return to_json([function_of(tool) for tool in tools], indent=2)
