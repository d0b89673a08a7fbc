"""TUCAN and BgGPT: a block of code named `tool_call`, asked for in Bulgarian.

The words are those of the model's evaluator, https://huggingface.co/llm-bg, package `tucan-eval`. One of its two
renderers, that for Hugging Face models, indents the lines by 20 spaces: `TucanEval` does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runtime.chat.template import Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall
from runtime.chat.tools.dialects.reading import read_calls
from runtime.chat.tools.dialects.telling import tool_list
from runtime.chat.tools.dialects.writing import call_rules, lines, literal, to_json
from runtime.chat.tools.prompts import prompts_for

START = "```tool_call"
END = "```"
LANGUAGE = "bul_Cyrl"
_INDENT = " " * 20


class Tucan(Dialect):
    """See the module."""

    name = "tucan"
    end = END
    between = "\n"

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:  # noqa: ARG002  # the same for all
        """See `Dialect.starts`."""
        return (START,)

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        return read_calls(section.removeprefix(START).removesuffix(END))

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:  # noqa: ARG002  # one to a section
        """See `Dialect.grammar`."""
        rules = call_rules(tools, '{ "name": "', '", "arguments": ', " }")
        return f"section: {literal(START)} gap call gap {literal(END)}\n{rules}"

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        return lines(
            f'{START}\n{{ "name": {to_json(call.name)}, "arguments": {call.arguments} }}\n{END}' for call in calls
        )

    def answer(self, result: Message) -> str:
        """See `Dialect.answer`."""
        return f"```tool_response\n{result.content}\n```"

    def describe(self, tools: Sequence[Tool], language: str | None) -> str:  # noqa: ARG002  # trained in Bulgarian
        """See `Dialect.describe`."""
        return self._told(None, tools)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        language: str | None = None,  # noqa: ARG002  # trained in Bulgarian
    ) -> list[Message]:
        """See `Dialect.render`. All is in the first turn of the user, for there is no other role."""
        turns = self.plain(messages)
        at = next((at for at, turn in enumerate(turns) if turn.role == "user"), None)
        if not tools or at is None:
            return turns
        system = turns[0].content if turns[0].role == "system" else None
        heading = prompts_for(LANGUAGE).request_heading
        told = f"{self._told(system, tools)}\n\n## {heading}\n{turns[at].content}"
        return [*turns[system is not None : at], replace(turns[at], content=told), *turns[at + 1 :]]

    def _told(self, system: str | None, tools: Sequence[Tool]) -> str:
        heading = prompts_for(LANGUAGE).tools_heading
        return f"{self._lead(system)}\n\n## {heading}\n{tool_list(tools)}"

    def _lead(self, system: str | None) -> str:
        """All that the model is told but for its tools."""
        words = prompts_for(LANGUAGE)
        example = '{ "name": "<function-name>", "arguments": <args-json-object> }'
        return "\n\n".join(
            (
                system or words.assistant,
                words.access,
                words.form.format(start=START, result=END),
                f"## {words.form_heading} \n{START}\n{example}\n{END}",
            )
        )


class TucanEval(Tucan):
    """The same, indented as by TUCAN's evaluator for Hugging Face models."""

    name = "tucan-eval"

    def _lead(self, system: str | None) -> str:
        first, *lines = super()._lead(system).split("\n")
        indented = [first, *(_INDENT + line if line else line for line in lines)]
        # Of the empty lines one has spaces: that before the line about the form.
        form = next(at for at, line in enumerate(indented) if END in line)
        indented[form - 1] = _INDENT
        return "\n".join(indented)
