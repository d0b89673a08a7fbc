"""An MCP server as a process of our own: a bound on each message, its last words kept, and no process left behind.

The SDK's own transport reads a line of any length into memory, and leaves the server's standard error to the terminal.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from runtime.chat.tools.settings import ServerSettings

# What ends a server: its input is closed, then SIGTERM, then SIGKILL, each after so many seconds.
_GRACE_SECONDS = 2.0
_MAX_ERROR_LINE = 64 * 1024

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def process_streams(
    settings: ServerSettings, max_message_bytes: int, last_words: deque[str]
) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """Start a server, and give the messages that come from it and go to it.

    The streams end with the process, or with a message over the limit. `last_words` gets the lines of its standard
    error, and why it was given up.

    Raises:
        OSError: it cannot be started.
    """
    assert settings.command is not None  # noqa: S101  # it is no server at a URL
    process = await asyncio.create_subprocess_exec(
        settings.command,
        *settings.args,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=settings.cwd,
        env=_environment(settings),
        limit=max_message_bytes,
        # Ctrl-C in the terminal is for us alone, and its children can be ended with it.
        start_new_session=True,
    )
    read_writer, incoming = anyio.create_memory_object_stream[SessionMessage | Exception]()
    outgoing, write_reader = anyio.create_memory_object_stream[SessionMessage]()
    tasks = [
        asyncio.create_task(work)
        for work in (
            _read(process, read_writer, max_message_bytes, last_words),
            _write(process, write_reader),
            _listen(process, last_words),
        )
    ]
    try:
        yield incoming, outgoing
    finally:
        await _end(process)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (read_writer, incoming, outgoing, write_reader):
            stream.close()


def _environment(settings: ServerSettings) -> dict[str, str]:
    passed = {name: os.environ[name] for name in settings.pass_env if name in os.environ}
    return get_default_environment() | passed | settings.env


async def _read(
    process: Process,
    messages: MemoryObjectSendStream[SessionMessage | Exception],
    max_message_bytes: int,
    last_words: deque[str],
) -> None:
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    with messages, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                last_words.append(f"it wrote a message of more than {max_message_bytes:,} bytes")
                return
            if not line:
                return
            # What is no message is what a careless server prints.
            with suppress(ValueError):
                await messages.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))


async def _write(process: Process, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin is not None  # noqa: S101  # it is a pipe
    with suppress(OSError):
        async with messages:
            async for message in messages:
                process.stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await process.stdin.drain()


async def _listen(process: Process, last_words: deque[str]) -> None:
    assert process.stderr is not None  # noqa: S101  # it is a pipe
    while line := await process.stderr.read(_MAX_ERROR_LINE):
        last_words.extend(text for text in line.decode(errors="replace").splitlines() if text.strip())


async def _end(process: Process) -> None:
    """End the process and all that it started."""
    assert process.stdin is not None  # noqa: S101  # it is a pipe
    process.stdin.close()
    try:
        if not await _has_ended(process):
            _signal(process, signal.SIGTERM)
            await _has_ended(process)
    finally:
        # Its children may outlive it.
        _signal(process, signal.SIGKILL)
    # It waits for the pipes as well, which what has left the group may hold, and nothing public closes them.
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]  # noqa: SLF001
    transport.close()
    await process.wait()


async def _has_ended(process: Process) -> bool:
    with suppress(TimeoutError):
        # `process.wait` waits for the pipes as well, which children may hold.
        async with asyncio.timeout(_GRACE_SECONDS):
            while process.returncode is None:
                await asyncio.sleep(0.01)
    return process.returncode is not None


def _signal(process: Process, kind: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, kind)
