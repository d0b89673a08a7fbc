"""Whether a tool may run: approved before, free because it only reads, or by somebody's word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.sources.base import OfferedTool

# The exit status of a command that denied a call because there was nobody to ask.
UNAPPROVED = 3
Verdict = Literal["once", "always", "deny"]
Ask = Callable[[OfferedTool, ToolCall], Awaitable[Verdict]]


class Approval:
    """Decides on calls, and remembers what is always allowed.

    `num_unasked` counts those that were denied because there is nobody to ask.
    """

    def __init__(self, approved: Iterable[str], *, read_only_is_free: bool, ask: Ask | None = None) -> None:
        """`approved` are names of tools that run unasked; `ask` is None where nobody is there to ask."""
        self._approved = set(approved)
        self._read_only_is_free = read_only_is_free
        self._ask = ask
        self.num_unasked = 0

    def is_free(self, tool: OfferedTool) -> bool:
        """Whether a tool runs unasked."""
        return tool.tool.name in self._approved or (self._read_only_is_free and tool.is_read_only)

    async def allows(self, tool: OfferedTool, call: ToolCall) -> bool:
        """Whether a call may be run now."""
        if self.is_free(tool):
            return True
        if self._ask is None:
            self.num_unasked += 1
            return False
        verdict = await self._ask(tool, call)
        if verdict == "always":
            self._approved.add(tool.tool.name)
        return verdict != "deny"
