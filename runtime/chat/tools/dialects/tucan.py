"""TUCAN and BgGPT: a block of code named `tool_call`, asked for in Bulgarian.

The words are those of the model's evaluator, https://huggingface.co/llm-bg, package `tucan-eval`. One of its two
renderers, that for Hugging Face models, indents the lines by 20 spaces: `TucanEval` does the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from runtime.chat.template import Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall
from runtime.chat.tools.dialects.reading import read_calls
from runtime.chat.tools.dialects.writing import closed, function_of, json_rule, lines, literal, to_json

START = "```tool_call"
END = "```"
SYSTEM = "Ти си полезен AI асистент, който предоставя полезни и точни отговори."
_INTRODUCTION = (
    "Имаш достъп и можеш да извикаш една или повече функции, за да помогнеш с потребителското запитване. "
    "Използвай ги, само ако е необходимо и подходящо."
)
# The "a" in it is Latin in the evaluator too.
_FENCES = (
    "Когато използваш функция, форматирай извикването ѝ в блок ```tool_call на отделен ред, a след това ще получиш "
    "резултат от изпълнението в блок ```."
)
_FORM = f'## Шаблон за извикване: \n{START}\n{{ "name": "<function-name>", "arguments": <args-json-object> }}\n{END}'
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
        return f"section: {literal(START)} gap call gap {literal(END)}\n{_rules(tools)}"

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
        return self._told(SYSTEM, tools)

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
        system = turns[0].content if turns[0].role == "system" else SYSTEM
        told = f"{self._told(system, tools)}\n\n## Потребителска заявка:\n{turns[at].content}"
        before = turns[1:at] if turns[0].role == "system" else turns[:at]
        return [*before, replace(turns[at], content=told), *turns[at + 1 :]]

    def _told(self, system: str, tools: Sequence[Tool]) -> str:
        listed = to_json([function_of(tool) for tool in tools], indent=2)
        return f"{self._form(system)}\n\n## Налични функции:\n{listed}"

    def _form(self, system: str) -> str:
        """All that the model is told but for its tools."""
        return f"{system}\n\n{_INTRODUCTION}\n\n{_FENCES}\n\n{_FORM}"


class TucanEval(Tucan):
    """As the evaluator for Hugging Face models writes it."""

    name = "tucan-eval"

    def _form(self, system: str) -> str:
        # Of its empty lines only the second has spaces.
        form = f"{system}\n\n{_INTRODUCTION}\n{_INDENT}\n{_FENCES}\n\n{_FORM}"
        return re.sub(r"\n(?=\S)", f"\n{_INDENT}", form)


def _rules(tools: Sequence[Tool]) -> str:
    rules = [f"call: {' | '.join(f'call_{index}' for index in range(len(tools)))}"]
    for index, tool in enumerate(tools):
        head = literal(f'{{ "name": "{tool.name}", "arguments": ')
        rules += [f"call_{index}: {head} args_{index} {literal(' }')}", json_rule(f"args_{index}", closed(tool))]
    return "\n".join(rules)
