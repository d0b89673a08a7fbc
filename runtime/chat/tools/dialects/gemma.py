"""Gemma 2 and 3, which have no tokens for calls: Python's form, as Google's guide asks for it.

https://ai.google.dev/gemma/docs/capabilities/function-calling. Answers in a block of code, which Gemma often
writes, are taken as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from runtime.chat.tools.call import Tool
from runtime.chat.tools.dialects.base import ReadCall
from runtime.chat.tools.dialects.pythonic import Pythonic, python_rules
from runtime.chat.tools.dialects.reading import read_python
from runtime.chat.tools.dialects.writing import function_of, literal, row, to_json

_FENCES = ("```tool_code\n", "```python\n")
_FENCE_END = "```"


class Gemma(Pythonic):
    """See the module."""

    name = "gemma"
    marks: ClassVar[tuple[str, ...]] = ()

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """See `Dialect.starts`."""
        heads = [f"{bracket}{tool.name}(" for tool in tools for bracket in ("[", "")]
        return (
            *(head for head in heads if head.startswith("[")),
            *(f"{fence}{head}" for fence in _FENCES for head in heads),
        )

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        body = section.strip()
        for fence in _FENCES:
            body = body.removeprefix(fence)
        return read_python(body.removesuffix(_FENCE_END))

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:
        """See `Dialect.grammar`."""
        calls = row(", ", max_calls)
        rules = [
            f'section: list | fence (list | {calls}) gap "{_FENCE_END}"',
            f'list: "[" {calls} "]"',
            f"fence: {' | '.join(map(literal, _FENCES))}",
        ]
        return "\n".join([*rules, python_rules(tools, self.name)])

    def words(self, tools: Sequence[Tool]) -> str | None:
        """See `Dialect.words`."""
        return (
            "You have access to functions. If you decide to invoke any of the function(s), you MUST put it in the "
            "format of\n"
            "[func_name1(params_name1=params_value1, params_name2=params_value2...), func_name2(params)]\n\n"
            "You SHOULD NOT include any other text in the response if you call a function\n"
            f"{to_json([function_of(tool) for tool in tools], indent=2)}"
        )
