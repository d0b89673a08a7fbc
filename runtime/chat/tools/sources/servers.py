"""MCP servers as sources of tools, through the protocol's official client."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import logging
import re
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Any

from runtime.chat.tools.call import Tool
from runtime.chat.tools.settings import ServerSettings
from runtime.chat.tools.sources.base import OfferedTool, Source, ToolFault
from runtime.config import ToolLimits, ToolRunConfig
from runtime.errors import ConfigurationInvalid, ToolServerFailed

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult
    from mcp_types import Tool as ServerTool

_MAX_PAGES = 32
_MAX_NAME_CHARS = 64
# How long a server may take to say anything after a call was given up, before it counts as stuck.
_SIGN_OF_LIFE_SECONDS = 2.0


async def open_servers(servers: Mapping[str, ServerSettings], limits: ToolRunConfig) -> list[Source]:
    """Start or reach all `servers` at the same time.

    Raises:
        ToolServerFailed: one of them cannot be used; the others are ended.
        ConfigurationInvalid: the extra for MCP is not installed.
    """
    check_installed()
    sources = [McpServer(name, settings, limits) for name, settings in servers.items()]
    try:
        await asyncio.gather(*(source.open() for source in sources))
    except BaseException:
        await asyncio.gather(*(source.close() for source in sources))
        raise
    return list(sources)


def check_installed() -> None:
    """Raise `ConfigurationInvalid` where the extra for MCP is not installed."""
    if importlib.util.find_spec("mcp") is None:
        raise ConfigurationInvalid("MCP is not installed.", remedy="Install it: pip install 'demotic[tools]'")


class McpServer:
    """`runtime.chat.tools.sources.base.Source` over one MCP server, which is started anew when it has ended."""

    def __init__(self, name: str, settings: ServerSettings, limits: ToolRunConfig) -> None:
        self.name = name
        self._settings = settings
        self._limits = limits
        self._tools: dict[str, OfferedTool] = {}
        # What the server itself calls a tool.
        self._own_names: dict[str, str] = {}
        self._last_words: deque[str] = deque(maxlen=3)
        self._client: Client | None = None
        self._owner: asyncio.Task[None] | None = None
        self._is_over = asyncio.Event()
        self._opening = asyncio.Lock()
        self._checks: set[asyncio.Task[None]] = set()

    @property
    def tools(self) -> Sequence[OfferedTool]:
        """See `Source.tools`. They are those that the server named when it was first opened."""
        return list(self._tools.values())

    async def open(self) -> None:
        """Start or reach the server, and ask for its tools.

        Raises:
            ToolServerFailed: it cannot be used.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last_words.clear()
        self._is_over = asyncio.Event()
        self._owner = asyncio.create_task(self._own(ready, self._is_over))
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                await asyncio.shield(ready)
        except TimeoutError:
            await self.close()
            raise self._failed(f"it was not ready after {self._limits.start_seconds:g} s") from None

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """See `Source.call`."""
        from mcp import MCPError

        client = await self._connected()
        try:
            result = await client.call_tool(self._own_names[name], dict(arguments))
        except MCPError as fault:
            if client is not self._client or not await self._is_alive(client):
                self._is_over.set()
                raise ToolFault(f"its server has ended{self._said()}") from fault
            raise ToolFault(fault.message) from fault
        except asyncio.CancelledError:
            # The server was told. One that does not hear is ended, so that nothing runs on that nobody waits for.
            check = asyncio.create_task(self._end_if_stuck(client))
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)
            raise
        except Exception as fault:  # what a server can send is without end
            raise ToolFault(f"its server answered with what is no result: {type(fault).__name__}") from fault
        text = _text_of(result)
        if result.is_error:
            raise ToolFault(text or "it says no more")
        return text

    async def close(self) -> None:
        """See `Source.close`."""
        for check in tuple(self._checks):
            check.cancel()
        self._is_over.set()
        if self._owner is not None:
            if self._client is None:
                # It has not come to waiting for that.
                self._owner.cancel()
            await asyncio.wait({self._owner})

    async def _connected(self) -> Client:
        async with self._opening:
            if self._checks:
                # A server that is about to be ended is not one to ask.
                await asyncio.wait(tuple(self._checks))
            if self._client is None or self._is_over.is_set():
                await self.close()
                try:
                    await self.open()
                except ToolServerFailed as fault:
                    raise ToolFault(fault.message) from fault
        assert self._client is not None  # noqa: S101  # it was opened
        return self._client

    async def _own(self, ready: asyncio.Future[None], is_over: asyncio.Event) -> None:
        """Hold the connection, in one task from its start to its end, as the SDK's scopes want it."""
        from mcp import Client
        from mcp_types import Implementation

        # It tells whole tracebacks of what servers do wrong. What matters of that is in our own errors.
        logging.getLogger("mcp").setLevel(logging.CRITICAL)
        try:
            about = Implementation(name="demotic", version=importlib.metadata.version("demotic"))
            async with Client(self._transport(), client_info=about, cache=None) as client:
                tools = await self._list(client)
                if not self._tools:
                    self._tools, self._own_names = _offered(self.name, tools)
                self._client = client
                if not ready.done():
                    ready.set_result(None)
                await is_over.wait()
        except Exception as fault:  # noqa: BLE001  # what a server can send is without end
            if not ready.done():
                ready.set_exception(self._failed(_reason(fault)))
        finally:
            self._client = None
            is_over.set()
            ready.cancel()

    def _transport(self) -> AbstractAsyncContextManager[Any]:
        if self._settings.url is not None:
            from runtime.chat.tools.sources.http import http_streams

            return http_streams(self._settings, self._limits)
        from runtime.chat.tools.sources.stdio import process_streams

        return process_streams(self._settings, self._limits.max_message_bytes, self._last_words)

    async def _list(self, client: Client) -> list[ServerTool]:
        tools: list[ServerTool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None or len(tools) > ToolLimits().max_tools:
                break
        return tools

    async def _is_alive(self, client: Client) -> bool:
        with suppress(Exception):
            async with asyncio.timeout(_SIGN_OF_LIFE_SECONDS):
                await client.list_tools()
                return True
        return False

    async def _end_if_stuck(self, client: Client) -> None:
        if client is self._client and not await self._is_alive(client):
            self._is_over.set()

    def _failed(self, why: str) -> ToolServerFailed:
        message = f"The MCP server '{self.name}' cannot be used: {why}{self._said()}."
        return ToolServerFailed(message, remedy=f"Check [servers.{self.name}] in the file of tools.")

    def _said(self) -> str:
        return f" ({' / '.join(line[:200] for line in self._last_words)})" if self._last_words else ""


def _offered(server: str, tools: Sequence[ServerTool]) -> tuple[dict[str, OfferedTool], dict[str, str]]:
    """Tools under the names that models call, `server_tool`, and what the server calls them.

    Raises:
        ValueError: two of them come to the same name.
    """
    offered: dict[str, OfferedTool] = {}
    own: dict[str, str] = {}
    for tool in tools:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}_{tool.name}")[:_MAX_NAME_CHARS]
        if name in offered:
            raise ValueError(f"two of its tools come to the name '{name}': '{own[name]}' and '{tool.name}'")
        is_read_only = tool.annotations is not None and tool.annotations.read_only_hint is True
        offered[name] = OfferedTool(Tool(name, tool.description or "", tool.input_schema), is_read_only)
        own[name] = tool.name
    return offered, own


def _text_of(result: CallToolResult) -> str:
    """What a model is told of a result: its texts, and of everything else what it is."""
    texts = [block.text if block.type == "text" else f"[{block.type}, left out]" for block in result.content]
    if not texts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(texts)


def _reason(fault: BaseException) -> str:
    """The first of what may be a group of faults, in one line."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return " ".join(str(fault).split())[:300].rstrip(".") or type(fault).__name__
