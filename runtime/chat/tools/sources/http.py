"""An MCP server at a URL: the SDK's transport, a bound on each answer, and no address but the one that was named."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from runtime.chat.tools.settings import ServerSettings
from runtime.config import ToolRunConfig


@asynccontextmanager
async def http_streams(settings: ServerSettings, limits: ToolRunConfig) -> AsyncIterator[tuple[Any, Any]]:
    """The messages that come from a server and go to it. The SDK follows no redirect to another origin."""
    assert settings.url is not None  # noqa: S101  # it is no process
    # What is unpacked would have another size than what is counted.
    headers = {"accept-encoding": "identity"}
    if settings.token_env is not None and (token := os.environ.get(settings.token_env)):
        headers["authorization"] = f"Bearer {token}"
    timeout = httpx2.Timeout(limits.start_seconds, read=limits.call_seconds)
    transport = _Bounded(limits.max_message_bytes)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, transport=transport) as client,
        streamable_http_client(
            settings.url, http_client=client, max_sse_event_size=limits.max_message_bytes
        ) as streams,
    ):
        yield streams


class _Bounded(httpx2.AsyncHTTPTransport):
    """Ends a body that is too long. The events of a stream have bounds of their own."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        is_packed = response.headers.get("content-encoding", "identity") != "identity"
        if is_packed or not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  # httpx2's own
            response.stream = _BoundedStream(response.stream, 0 if is_packed else self._max_bytes)
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._max_bytes:
                raise httpx2.StreamError(f"it sent a message of more than {self._max_bytes:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
