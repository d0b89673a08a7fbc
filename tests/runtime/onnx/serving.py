"""The endpoint in a thread of the test's process, over models of this process: many tiny ones load at once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from runtime.api.app import create_app
from runtime.api.server import DrainingServer
from runtime.card import ModelCard
from runtime.config import EngineConfig, ServerConfig
from runtime.engine.pool import ModelPool
from runtime.hardware.plan import Plan
from runtime.hardware.probe import probe
from runtime.model import Model, start
from runtime.models.store import ModelFile

LIMITS = EngineConfig(max_context=512)


class HereLoader:
    """`runtime.engine.pool.Loader` whose models are in this process."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    def read(self, name: str) -> ModelCard:
        return ModelCard.read(ModelFile(name, self._folders[name], None, "path", None))

    def plan(self, card: ModelCard, *, spare_bytes: int = 0) -> Plan:
        return card.plan(probe(), LIMITS)

    def start(self, card: ModelCard, plan: Plan, progress: Callable[[float], bool]) -> Model:
        return start(card, LIMITS, progress)

    def adapters(self, name: str) -> tuple[str, ...]:
        return ()

    def attach(self, model: Model, adapter: str) -> None:
        raise NotImplementedError


@contextmanager
def serving_here(folders: dict[str, Path], api_keys: tuple[str, ...] = ()) -> Iterator[httpx.Client]:
    """A client of a server of these folders, by name."""
    pool = ModelPool(list(folders), HereLoader(folders), max_waiting=LIMITS.max_waiting)
    server = DrainingServer(create_app(pool, ServerConfig(), api_keys), pool, drain_seconds=0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
