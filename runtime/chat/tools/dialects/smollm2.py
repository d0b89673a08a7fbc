"""SmolLM2: a list of JSON objects between `<tool_call>` and `</tool_call>`; an empty one calls nothing.

https://huggingface.co/HuggingFaceTB/SmolLM2-1.7B-Instruct, "Function Calling".
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall
from runtime.chat.tools.dialects.hermes import END, START
from runtime.chat.tools.dialects.reading import read_calls
from runtime.chat.tools.dialects.writing import call_json, json_rules, openai_tool, row, to_json


class SmolLM2(Dialect):
    """See the module."""

    name = "smollm2"
    end = END
    marks = (START, END)

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:  # noqa: ARG002  # the same for all
        """See `Dialect.starts`."""
        return (START,)

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        return read_calls(section.removeprefix(START).removesuffix(END))

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:
        """See `Dialect.grammar`."""
        return f'section: mark_0 "[" gap {row(f",{chr(10)}", max_calls)} gap "]" mark_1\n{json_rules(tools)}'

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        listed = ",\n".join(map(call_json, calls))
        return f"{START}[\n{listed}\n]{END}" if calls else ""

    def words(self, tools: Sequence[Tool]) -> str | None:
        """See `Dialect.words`."""
        return (
            "You are an expert in composing functions. You are given a question and a set of possible functions. \n"
            "Based on the question, you will need to make one or more function/tool calls to achieve the purpose. \n"
            "If none of the functions can be used, point it out and refuse to answer. \n"
            "If the given question lacks the parameters required by the function, also point it out.\n\n"
            "You have access to the following tools:\n"
            f"<tools>{to_json([openai_tool(tool) for tool in tools])}</tools>\n\n"
            "The output MUST strictly adhere to the following format, and NO other text MUST be included.\n"
            "The example format is as follows. Please make sure the parameter type is correct. If no function call is "
            "needed, please make the tool calls an empty list '[]'.\n"
            f"{START}[\n"
            '{"name": "func_name1", "arguments": {"argument1": "value1", "argument2": "value2"}},\n'
            f"... (more tool calls as required)\n]{END}"
        )
