"""All tools that can be run, whatever their source, each call within its limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.settings import ToolSettings
from runtime.chat.tools.sources.base import OfferedTool, Source, ToolFault
from runtime.config import ToolRunConfig
from runtime.errors import ConfigurationInvalid
from runtime.text.stream import shortened


class Toolbox:
    """The tools of several sources."""

    def __init__(self, sources: Sequence[Source], limits: ToolRunConfig | None = None) -> None:
        """Join the sources.

        Raises:
            ConfigurationInvalid: two of them have a tool of the same name.
        """
        self.sources = tuple(sources)
        self.limits = limits or ToolRunConfig()
        self._sources: dict[str, Source] = {}
        self._offered: dict[str, OfferedTool] = {}
        for source in sources:
            for offered in source.tools:
                name = offered.tool.name
                if name in self._sources:
                    both = f"{self._sources[name].name} and {source.name}"
                    raise ConfigurationInvalid(f"Two tools are named '{name}': of {both}.", remedy="Rename one source.")
                self._sources[name], self._offered[name] = source, offered

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What a model is told of them."""
        return tuple(offered.tool for offered in self._offered.values())

    @property
    def offered(self) -> Mapping[str, OfferedTool]:
        """The tools by name."""
        return self._offered

    async def run(self, call: ToolCall) -> str:
        """The result of a call, cut where it is too long.

        Raises:
            ToolFault: there is no such tool, it failed, or it took too long.
        """
        if call.name not in self._sources:
            raise ToolFault(f"there is no tool named '{call.name}'")
        try:
            async with asyncio.timeout(self.limits.call_seconds):
                result = await self._sources[call.name].call(call.name, json.loads(call.arguments))
        except TimeoutError:
            raise ToolFault(f"it took longer than {self.limits.call_seconds:g} s") from None
        except ToolFault as fault:
            raise ToolFault(shortened(str(fault), self.limits.max_result_chars)) from fault
        return shortened(result, self.limits.max_result_chars)


@asynccontextmanager
async def open_toolbox(settings: ToolSettings) -> AsyncIterator[Toolbox]:
    """The tools that `settings` name, with the servers that have them, which are ended with the block.

    Raises:
        ToolServerFailed: a server does not start.
        ConfigurationInvalid: a source cannot be used, or an approved tool is of none.
    """
    sources: list[Source] = []
    try:
        if settings.functions:
            from runtime.chat.tools.sources.functions import FunctionTools

            sources += [FunctionTools.from_file(Path(one.file), name) for name, one in settings.functions.items()]
        if settings.servers:
            from runtime.chat.tools.sources.servers import open_servers

            sources += await open_servers(settings.servers, settings.limits)
        toolbox = Toolbox(sources, settings.limits)
        for name in settings.approve:
            if name not in toolbox.offered:
                known = ", ".join(toolbox.offered)
                raise ConfigurationInvalid(f"The approved tool '{name}' is not there.", remedy=f"There are {known}.")
        yield toolbox
    finally:
        await asyncio.gather(*(source.close() for source in sources))
