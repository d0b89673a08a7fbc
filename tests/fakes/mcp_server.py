"""An MCP server on the protocol's own SDK, with the faults that servers have: `python -m tests.fakes.mcp_server`.

It speaks over pipes, or with a port as its argument over HTTP.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("faulty")
print("this is no message", flush=True)  # noqa: T201  # careless servers do


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def echo(text: str) -> str:
    """Say a text again."""
    return text


@server.tool(name="with.dots/and slashes")
def odd_name() -> str:
    """Has a name that models' tools may not have."""
    return "odd"


@server.tool()
def environment(name: str) -> str:
    """A variable of the server, and its folder."""
    return f"{os.environ.get(name)} in {Path.cwd()}"


@server.tool()
def fail() -> str:
    """Fails."""
    raise ToolError("няма такъв град")


@server.tool()
def flood(size: int) -> str:
    """A long result."""
    return "я" * size


@server.tool()
def crash() -> str:
    """Ends the server."""
    sys.stderr.write("out of luck\n")
    sys.stderr.flush()
    os._exit(3)


@server.tool()
async def wait(seconds: float) -> str:
    """Waits, and can be cancelled."""
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
async def block(seconds: float) -> str:
    """Waits, and hears nothing meanwhile."""
    time.sleep(seconds)  # on purpose
    return "done"


@server.tool()
def spawn() -> str:
    """Starts a process that would live on."""
    child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return str(child.pid)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
