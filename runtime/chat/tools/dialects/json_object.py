"""Models that answer with a JSON object and no mark: `{"name": ..., "arguments": {...}}`, in a block of code or not."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall
from runtime.chat.tools.dialects.reading import read_calls
from runtime.chat.tools.dialects.writing import call_json, json_rules, literal, row

_FENCE, _FENCE_END = "```json\n", "```"
_HEADS = ('{"name": "', '[{"name": "')


class JsonObject(Dialect):
    """See the module."""

    name = "json"
    is_first = True
    blocks = ("JSON", "<tool_response>")

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """See `Dialect.starts`."""
        heads = [f'{head}{tool.name}"' for tool in tools for head in _HEADS]
        return (*heads, *(f"{_FENCE}{head}" for head in heads))

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        return read_calls(section.strip().removeprefix(_FENCE).removesuffix(_FENCE_END))

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:
        """See `Dialect.grammar`."""
        rules = [
            f'section: calls | {literal(_FENCE)} calls gap "{_FENCE_END}"',
            f'calls: call | "[" {row(", ", max_calls)} "]"',
        ]
        return "\n".join([*rules, json_rules(tools)])

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        listed = ", ".join(map(call_json, calls))
        return listed if len(calls) < 2 else f"[{listed}]"
