"""Mistral: after `[TOOL_CALLS]` a list of JSON objects, or, since its eleventh tokenizer, names with `[ARGS]`.

https://docs.mistral.ai/capabilities/function_calling/ and https://github.com/mistralai/mistral-common.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

from runtime.chat.template import Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall
from runtime.chat.tools.dialects.reading import read_calls, read_json, to_read_call
from runtime.chat.tools.dialects.writing import call_json, closed, json_rule, json_rules, literal, row, to_json

START = "[TOOL_CALLS]"
ARGUMENTS = "[ARGS]"
# Those of the eleventh tokenizer write an id between the two; later ones do not.
CALL_ID = "[CALL_ID]"
# Its templates refuse any other length.
_ID_LENGTH = 9


class Mistral(Dialect):
    """Mistral: after `[TOOL_CALLS]` a list of JSON objects."""

    name = "mistral"
    marks: ClassVar[tuple[str, ...]] = (START,)
    blocks = (START, "[TOOL_RESULTS]")

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:  # noqa: ARG002  # the same for all
        """See `Dialect.starts`."""
        return (START,)

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        return read_calls(section.removeprefix(START))

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:
        """See `Dialect.grammar`."""
        return f'section: mark_0 "[" {row(", ", max_calls)} "]"\n{json_rules(tools)}'

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        return f"{START}[{', '.join(map(call_json, calls))}]" if calls else ""

    def answer(self, result: Message) -> str:
        """See `Dialect.answer`."""
        return f"[TOOL_RESULTS]{to_json({'content': result.content})}[/TOOL_RESULTS]"

    def id_of(self, call_id: str) -> str:
        """See `Dialect.id_of`."""
        if len(call_id) == _ID_LENGTH and call_id.isalnum():
            return call_id
        return hashlib.sha256(call_id.encode()).hexdigest()[:_ID_LENGTH]


class MistralArguments(Mistral):
    """Mistral since its eleventh tokenizer: names, and arguments after `[ARGS]`."""

    name = "mistral-args"
    marks = (START, ARGUMENTS, CALL_ID)

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        calls = [call.partition(ARGUMENTS) for call in section.split(START)[1:]]
        return [to_read_call(head.partition(CALL_ID)[0].strip(), read_json(arguments)) for head, _, arguments in calls]

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:
        """See `Dialect.grammar`."""
        rules = [
            f"section: call{{1,{max_calls}}}",
            f"call: mark_0 ({' | '.join(f'call_{index}' for index in range(len(tools)))})",
            "id: mark_2 ID",
            f"ID: /[a-zA-Z0-9]{{{_ID_LENGTH}}}/",
        ]
        for index, tool in enumerate(tools):
            rules += [
                f"call_{index}: {literal(tool.name)} id? mark_1 args_{index}",
                json_rule(f"args_{index}", closed(tool)),
            ]
        return "\n".join(rules)

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        return "".join(f"{START}{call.name}{ARGUMENTS}{call.arguments}" for call in calls)
