"""The HTTP server, and its end: what runs may finish, and what takes too long is told so."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from fastapi import FastAPI

from runtime.engine.pool import ModelPool

# How much longer than the answers uvicorn may wait for connections; then it cuts them off.
_MARGIN_SECONDS = 5.0


class DrainingServer(uvicorn.Server):
    """Once told to stop it takes no new requests; answers still running after `drain_seconds` end with an error."""

    def __init__(self, app: FastAPI, pool: ModelPool, *, drain_seconds: float) -> None:
        seconds = int(drain_seconds + _MARGIN_SECONDS)
        super().__init__(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=seconds))
        self._pool = pool
        self._drain_seconds = drain_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go of the connections, and of the models at the latest when the time is over."""
        ending = asyncio.create_task(self._end_answers())
        await super().shutdown(sockets)
        ending.cancel()

    async def _end_answers(self) -> None:
        await asyncio.sleep(self._drain_seconds)
        await self._pool.close()
