"""Llama 3.1 and its kin: the answer is a JSON object whose arguments are `parameters`.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/, "JSON based tool calling".
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.template import Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall
from runtime.chat.tools.dialects.reading import read_row
from runtime.chat.tools.dialects.writing import call_json, json_rules, openai_tool, row, to_json

MARK = "<|python_tag|>"
_SEPARATOR = "; "


class LlamaJson(Dialect):
    """See the module."""

    name = "llama-json"
    is_first = True
    marks = (MARK,)

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """See `Dialect.starts`."""
        return (MARK, *(f'{{"name": "{tool.name}"' for tool in tools))

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        return read_row(section.removeprefix(MARK), ";")

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:
        """See `Dialect.grammar`."""
        return f"section: mark_0? {row(_SEPARATOR, max_calls)}\n{json_rules(tools, 'parameters')}"

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        return _SEPARATOR.join(call_json(call, "parameters") for call in calls)

    def words(self, tools: Sequence[Tool]) -> str | None:
        """See `Dialect.words`."""
        listed = "\n\n".join(to_json(openai_tool(tool), indent=4) for tool in tools)
        return (
            "Given the following functions, please respond with a JSON for a function call with its proper arguments "
            "that best answers the given prompt.\n\n"
            'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.'
            f"Do not use variables.\n\n{listed}"
        )

    def answer(self, result: Message) -> str:
        """See `Dialect.answer`."""
        return to_json({"output": result.content})
