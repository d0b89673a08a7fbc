"""DeepSeek V3 and R1: names and blocks of JSON between the model's own marks.

https://huggingface.co/deepseek-ai/DeepSeek-V3-0324 and https://huggingface.co/deepseek-ai/DeepSeek-V3.1, which
leaves the word and the block out: the chat templates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from runtime.chat.template import Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall, Unfinished
from runtime.chat.tools.dialects.reading import read_json, to_read_call
from runtime.chat.tools.dialects.writing import closed, json_rule, literal

START, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, SEPARATOR, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
_KIND = "function"
_FENCE, _FENCE_END = "\n```json\n", "\n```"


class DeepSeek(Dialect):
    """See the module."""

    name = "deepseek"
    end = END
    blocks = (START, "<｜tool▁outputs▁begin｜>")
    marks = (START, END, CALL, SEPARATOR, CALL_END)

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:  # noqa: ARG002  # the same for all
        """See `Dialect.starts`."""
        return (START,)

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        body = section.removeprefix(START).removesuffix(END).strip()
        calls: list[ReadCall] = []
        while body:
            if not body.startswith(CALL):
                raise ValueError("it is no call")
            head, mark, rest = body.removeprefix(CALL).partition(SEPARATOR)
            if not mark:
                raise ValueError("it has no name")
            call, body = _read_call(head, rest)
            calls.append(call)
        if not calls:
            raise ValueError("there is no call")
        return calls

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:
        """See `Dialect.grammar`."""
        more = f' ("\\n" call){{0,{max_calls - 1}}}' if max_calls > 1 else ""
        rules = [
            f"section: mark_0 call{more} mark_1",
            f"call: mark_2 {literal(_KIND)} mark_3 ({' | '.join(f'call_{at}' for at in range(len(tools)))}) mark_4",
        ]
        for at, tool in enumerate(tools):
            head = literal(f"{tool.name}{_FENCE}")
            rules += [f"call_{at}: {head} args_{at} {literal(_FENCE_END)}", json_rule(f"args_{at}", closed(tool))]
        return "\n".join(rules)

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        listed = "\n".join(
            f"{CALL}{_KIND}{SEPARATOR}{call.name}{_FENCE}{call.arguments}{_FENCE_END}{CALL_END}" for call in calls
        )
        return f"{START}{listed}{END}" if calls else ""

    def answer(self, result: Message) -> str:
        """See `Dialect.answer`."""
        output = f"<｜tool▁output▁begin｜>{result.content}<｜tool▁output▁end｜>"
        return f"<｜tool▁outputs▁begin｜>{output}<｜tool▁outputs▁end｜>"


def _read_call(head: str, rest: str) -> tuple[ReadCall, str]:
    """The call whose marks are around `head`, and what follows it; `rest` is what comes after the separator."""
    end = rest.find(CALL_END)
    while end >= 0:
        try:
            return _call_of(head.strip(), rest[:end].strip()), rest[end + len(CALL_END) :].lstrip()
        except Unfinished:
            end = rest.find(CALL_END, end + 1)
    raise Unfinished(rest)


def _call_of(head: str, body: str) -> ReadCall:
    if head != _KIND:
        return to_read_call(head, read_json(body))
    name, _, block = body.partition("\n")
    return to_read_call(name.strip(), read_json(re.sub(r"^```(json)?|```$", "", block.strip())))
