"""Hermes, Qwen 2.5, Qwen 3 and many others: a JSON object between `<tool_call>` and `</tool_call>`.

https://github.com/NousResearch/Hermes-Function-Calling; the words are those of Qwen's templates.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall
from runtime.chat.tools.dialects.reading import read_calls
from runtime.chat.tools.dialects.writing import call_json, json_rules, lines, openai_tool, to_json

START = "<tool_call>"
END = "</tool_call>"


class Hermes(Dialect):
    """See the module."""

    name = "hermes"
    end = END
    marks = (START, END)
    between = "\n"

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:  # noqa: ARG002  # the same for all
        """See `Dialect.starts`."""
        return (START,)

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        return read_calls(section.removeprefix(START).removesuffix(END))

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:  # noqa: ARG002  # one to a section
        """See `Dialect.grammar`."""
        return f"section: mark_0 gap call gap mark_1\n{json_rules(tools)}"

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        return lines(f"{START}\n{call_json(call)}\n{END}" for call in calls)

    def words(self, tools: Sequence[Tool]) -> str | None:
        """See `Dialect.words`."""
        return (
            "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n"
            f"<tools>\n{lines(to_json(openai_tool(tool)) for tool in tools)}\n</tools>\n\n"
            "For each function call, return a json object with function name and arguments within "
            "<tool_call></tool_call> XML tags:\n"
            f'{START}\n{{"name": <function-name>, "arguments": <args-json-object>}}\n{END}'
        )
