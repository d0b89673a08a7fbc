"""`demotic mcp`: an MCP server over standard input and output, or over HTTP on this machine."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import sys
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from runtime.card import ModelCard
from runtime.chat.tools.sources.base import Source, ToolFault
from runtime.chat.tools.sources.functions import in_thread
from runtime.chat.tools.sources.servers import check_installed
from runtime.commands.listening import bind, url_of
from runtime.commands.notice import tell_licence
from runtime.config import EngineConfig, ToolRunConfig
from runtime.errors import ConfigurationInvalid
from runtime.models.store import Store
from runtime.skills import LazyModel, Skills

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

_HOST = "127.0.0.1"


def serve_mcp(model: str | None, embedding_model: str | None, *, port: int | None, context: int | None) -> None:
    """Serve what the models can do; at `port` over HTTP, else over standard input and output.

    Raises:
        ConfigurationInvalid: the extra for MCP is not installed, or a model is not of its kind.
    """
    check_installed()
    limits = EngineConfig() if context is None else dataclasses.replace(EngineConfig(), max_context=context)
    generator = _lazy(model, limits)
    if generator.card.encoding is not None:
        raise ConfigurationInvalid(f"{generator.card.name} generates no text.", remedy="Give it as --embedding-model.")
    embedder = None if embedding_model is None else _lazy(embedding_model, limits)
    if embedder is not None and (embedder.card.encoding is None or embedder.card.encoding.pooling == "rank"):
        raise ConfigurationInvalid(f"{embedder.card.name} gives no vectors.")
    server = make_server(Skills(generator, embedder).tools())
    try:
        asyncio.run(_serve_pipes(server) if port is None else _serve_http(server, port))
    finally:
        for loaded in (generator, embedder):
            if loaded is not None:
                loaded.close()


def make_server(tools: Source) -> Server[Any]:
    """A server of the protocol that has `tools`."""
    import mcp_types as types
    from mcp import MCPError
    from mcp.server.lowlevel import Server

    offered = {one.tool.name: one for one in tools.tools}

    async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name,
                    description=one.tool.description,
                    input_schema=dict(one.tool.parameters),
                    annotations=types.ToolAnnotations(read_only_hint=one.is_read_only),
                )
                for name, one in offered.items()
            ]
        )

    async def call_tool(_context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name not in offered:
            raise MCPError(types.INVALID_PARAMS, f"There is no tool named '{params.name}'.")
        text, is_error = await _result_of(tools, params.name, params.arguments or {})
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=is_error)

    return Server(
        "demotic",
        version=importlib.metadata.version("demotic"),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _result_of(tools: Source, name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
    try:
        return await tools.call(name, arguments), False
    except ToolFault as fault:
        return str(fault), True


async def _serve_pipes(server: Server[Any]) -> None:
    from mcp.server.stdio import stdio_server

    # The SDK's own reader cannot be interrupted: Ctrl-C would wait for a line.
    lines: Any = _lines_of_input()
    async with stdio_server(stdin=lines) as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def _lines_of_input() -> AsyncIterator[str]:
    """Lines of standard input. One that is too long comes in parts, which are no messages."""
    # Never closed: that would wait for the thread that reads.
    stream = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
    while line := await in_thread(lambda: stream.readline(ToolRunConfig().max_message_bytes)):
        yield line.decode(errors="replace")


async def _serve_http(server: Server[Any], port: int) -> None:
    import uvicorn

    with bind(_HOST, port) as listener:
        # For this host the SDK refuses requests to, and from pages of, any other name.
        app = server.streamable_http_app(host=_HOST)
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        print(f"demotic serves MCP at {url_of(listener)}/mcp (Ctrl-C stops it)", file=sys.stderr)  # noqa: T201
        await uvicorn.Server(config).serve(sockets=[listener])


def _lazy(reference: str | None, limits: EngineConfig) -> LazyModel:
    store = Store()
    card = ModelCard.read(store.resolve(reference))
    tell_licence(store, card.file)
    return LazyModel(card, limits)
