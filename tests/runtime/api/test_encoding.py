"""An event loop's way to the engine of vectors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from runtime.api.encoding import encode
from runtime.backends.base import Passage, Vectors
from runtime.card import ModelCard
from runtime.engine.client import InProcessClient
from runtime.engine.encoding import EncodingEngine
from runtime.errors import Cancelled
from runtime.model import Model
from runtime.models.encoding import Encoding
from runtime.models.inspect import Header
from runtime.models.store import ModelFile
from tests.fakes.decoder import ByteTokenizer
from tests.fakes.encoder import SumEncoder
from tests.fakes.visitor import Visitor
from tests.fakes.worker import PLAN


class HeldEncoder(SumEncoder):
    """Stands in its first step until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.is_in_step = threading.Event()
        self.may_go_on = threading.Event()

    def encode(self, passages: Sequence[Passage]) -> list[Vectors]:
        self.is_in_step.set()
        assert self.may_go_on.wait(20)
        return super().encode(passages)


@pytest.fixture
def encoder() -> HeldEncoder:
    return HeldEncoder()


@pytest.fixture
def model(encoder: HeldEncoder) -> Iterator[Model]:
    card = ModelCard(ModelFile("held", Path("held"), None, "path", None), Header.__new__(Header))
    client = InProcessClient(
        lambda emit, _wake: EncodingEngine(
            encoder, ByteTokenizer(), Encoding("mean", is_causal=False), max_waiting=4, emit=emit
        ),
        close_backend=encoder.close,
    )
    yield Model(card, PLAN, client)
    encoder.may_go_on.set()
    client.close()


async def test_a_request_whose_client_has_gone_is_taken_back_before_its_next_step(
    model: Model, encoder: HeldEncoder
) -> None:
    visitor = Visitor()
    asking = asyncio.create_task(encode(model, ["aaaa"] * 40, visitor.http, param="input"))
    await asyncio.to_thread(encoder.is_in_step.wait, 20)
    visitor.gone.set()
    # The watcher has waited for this, and takes the request back while the engine stands in its step.
    for _ in range(5):
        await asyncio.sleep(0)
    encoder.may_go_on.set()
    with pytest.raises(Cancelled):
        await asking
    assert len(encoder.steps) == 1


async def test_a_caller_that_is_cancelled_takes_its_request_back(model: Model, encoder: HeldEncoder) -> None:
    asking = asyncio.create_task(encode(model, ["aaaa"] * 40, Visitor().http, param="input"))
    await asyncio.to_thread(encoder.is_in_step.wait, 20)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    encoder.may_go_on.set()
    whole = await encode(model, ["b"], Visitor().http, param="input")
    assert len(whole.values) == 1
    assert len(encoder.steps) == 2
