"""An engine in this process over a scripted decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from runtime.engine.client import InProcessClient
from runtime.engine.engine import Engine
from tests.fakes.decoder import ByteTokenizer, ScriptedDecoder


@pytest.fixture
def make_client() -> Iterator[Callable[..., InProcessClient]]:
    clients: list[InProcessClient] = []

    def make(decoder: ScriptedDecoder, max_waiting: int = 8) -> InProcessClient:
        client = InProcessClient(
            lambda emit, wake: Engine(decoder, ByteTokenizer(), max_waiting=max_waiting, emit=emit, wake=wake),
            close_backend=decoder.close,
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
