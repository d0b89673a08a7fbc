"""What a source of tools is: something that has tools and can run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from runtime.chat.tools.call import Tool


class ToolFault(Exception):
    """A tool did not do what it was called for; the text says why, to the model and to people."""


@dataclass(frozen=True)
class OfferedTool:
    """A tool that can be run. `is_read_only`: its source says that it changes nothing."""

    tool: Tool
    is_read_only: bool = False


class Source(Protocol):
    """Has tools, and runs them. The names are those that models call."""

    name: str

    @property
    def tools(self) -> Sequence[OfferedTool]:
        """What it can run."""

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result of a tool as text. A cancelled call is given up.

        Raises:
            ToolFault: the tool failed, or could not be run.
        """

    async def close(self) -> None:
        """End all that runs for it. Calling it twice is harmless."""
