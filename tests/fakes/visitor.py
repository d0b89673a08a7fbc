"""A client of the endpoint without a connection, for functions that ask whether theirs is still there."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request
from starlette.routing import Route
from starlette.types import Message

from runtime.api.metrics import Metrics
from runtime.config import EngineConfig
from runtime.engine.loader import WorkerLoader
from runtime.engine.pool import ModelPool


class Visitor:
    """One that stays until it is told to go."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        scope = {
            "type": "http",
            "app": FastAPI(),
            "route": Route("/v1/completions", self.receive),
            "state": {"arrived": 0.0},
        }
        self.http = Request(scope, self.receive)
        self.http.app.state.metrics = Metrics(ModelPool([], WorkerLoader({}, EngineConfig())))
        self.num_asked = 0

    async def receive(self) -> Message:
        self.num_asked += 1
        if self.num_asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}
