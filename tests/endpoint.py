"""The endpoint in the test's own event loop, over real worker processes, so that a test can look inside."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from runtime.api.app import create_app
from runtime.api.server import DrainingServer
from runtime.config import EngineConfig, PoolConfig, ServerConfig, WorkerConfig
from runtime.engine.loader import WorkerLoader
from runtime.engine.pool import ModelPool
from runtime.models.store import ModelFile

DRAIN_SECONDS = 0.5


@dataclass
class LocalEndpoint:
    """A running endpoint: its server and models, and a client of it."""

    server: DrainingServer
    pool: ModelPool
    http: httpx.AsyncClient

    async def complete(self, model: str, max_tokens: int = 4, **more: Any) -> httpx.Response:
        """One answer, not streamed."""
        body = {"model": model, "prompt": "Once upon a time", "max_tokens": max_tokens, "temperature": 0} | more
        return await self.http.post("/v1/completions", json=body)

    async def stream(self, model: str, max_tokens: int = 1500, **more: Any) -> AsyncGenerator[dict[str, Any]]:
        """The events of a streamed answer, the error object among them; [DONE] is left out."""
        # With a seed nothing is guessed ahead, so that a text that goes in circles lasts as long as any other.
        length = {"max_tokens": max_tokens, "ignore_eos": True, "seed": 1}
        body = {"model": model, "prompt": "Once", "stream": True} | length | more
        async with self.http.stream("POST", "/v1/completions", json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))

    async def states(self) -> dict[str, str]:
        """What /health says of each model."""
        return dict((await self.http.get("/health")).json()["models"])

    async def worker(self, model: str) -> psutil.Process:
        """The process of a model, which is loaded for it."""
        return psutil.Process((await self.pool.get(model)).client.pid)


@asynccontextmanager
async def local_endpoint(
    models: dict[str, Path],
    *,
    limits: EngineConfig | None = None,
    pool_config: PoolConfig | None = None,
    worker_config: WorkerConfig | None = None,
    api_keys: tuple[str, ...] = (),
) -> AsyncIterator[LocalEndpoint]:
    """Serve the GGUFs of `models` by name, until the block is left."""
    files = {name: ModelFile(name, path, None, "path", None) for name, path in models.items()}
    limits = limits or EngineConfig(max_context=2048)
    loader = WorkerLoader(files, limits, worker_config)
    pool = ModelPool(list(models), loader, pool_config, max_waiting=limits.max_waiting)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = DrainingServer(create_app(pool, ServerConfig(), api_keys), pool, drain_seconds=DRAIN_SECONDS)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with httpx.AsyncClient(base_url=url, timeout=120, limits=httpx.Limits(max_connections=None)) as http:
                yield LocalEndpoint(server, pool, http)
        finally:
            server.should_exit = True
            await serving
