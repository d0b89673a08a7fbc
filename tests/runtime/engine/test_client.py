"""A client gets every event of its own request, in its own thread or loop, and exactly one last one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from runtime.engine.client import InProcessClient, stream, stream_async
from runtime.engine.engine import Engine
from runtime.engine.messages import Delta, Event, Failed, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.errors import InferenceFailed, InvalidRequest
from tests.fakes.decoder import ByteTokenizer, ScriptedDecoder

GREEDY = SamplingParams(temperature=0)


def count_up(tokens: list[int]) -> int:
    return tokens[-1] % 256 + 1


@pytest.fixture
def make_client() -> Iterator[Callable[..., InProcessClient]]:
    clients: list[InProcessClient] = []

    def make(decoder: ScriptedDecoder, max_waiting: int = 8) -> InProcessClient:
        client = InProcessClient(
            lambda emit: Engine(decoder, ByteTokenizer(), max_waiting=max_waiting, emit=emit),
            close_backend=decoder.close,
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def test_a_stream_ends_with_finished(make_client: Callable[..., InProcessClient]) -> None:
    client = make_client(ScriptedDecoder(count_up))
    events = list(stream(client, Generate("a", "a", GREEDY, max_tokens=4)))
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "bcde"
    assert isinstance(events[-1], Finished)


def test_a_refused_request_raises_in_the_caller(make_client: Callable[..., InProcessClient]) -> None:
    client = make_client(ScriptedDecoder(count_up))
    with pytest.raises(InvalidRequest):
        list(stream(client, Generate("a", "", GREEDY)))


def test_leaving_a_stream_early_frees_its_cells(make_client: Callable[..., InProcessClient]) -> None:
    decoder = ScriptedDecoder(count_up, context_length=100_000, num_cells=100_000)
    client = make_client(decoder)
    events = stream(client, Generate("a", "a", GREEDY))
    next(events)
    events.close()  # type: ignore[attr-defined]  # a generator
    assert "".join(e.text for e in stream(client, Generate("b", "a", GREEDY, 2)) if isinstance(e, Delta)) == "bc"
    assert decoder.num_used == 0


async def test_concurrent_streams_in_one_loop_do_not_mix(make_client: Callable[..., InProcessClient]) -> None:
    client = make_client(ScriptedDecoder(count_up, num_cells=200), max_waiting=32)

    async def text(name: str, prompt: str) -> str:
        request = Generate(name, prompt, GREEDY, max_tokens=5)
        return "".join([event.text async for event in stream_async(client, request) if isinstance(event, Delta)])

    letters = "abcdefghijklmnop"
    texts = await asyncio.gather(*(text(letter, letter) for letter in letters))
    assert texts == ["".join(chr(ord(letter) + step) for step in range(1, 6)) for letter in letters]


async def test_a_cancelled_task_takes_its_request_back(make_client: Callable[..., InProcessClient]) -> None:
    decoder = ScriptedDecoder(count_up, context_length=1_000_000, num_cells=1_000_000)
    client = make_client(decoder)
    started = asyncio.Event()

    async def read() -> None:
        async for _ in stream_async(client, Generate("a", "a", GREEDY)):
            started.set()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [e async for e in stream_async(client, Generate("b", "a", GREEDY, 1))]
    assert decoder.num_used == 0


def test_closing_answers_what_is_in_flight_and_what_comes_after(make_client: Callable[..., InProcessClient]) -> None:
    decoder = ScriptedDecoder(count_up, context_length=1_000_000, num_cells=1_000_000)
    client = make_client(decoder)
    events: list[Event] = []
    running = threading.Event()

    def sink(event: Event) -> None:
        events.append(event)
        running.set()

    client.submit(Generate("a", "a", GREEDY), sink)
    running.wait(5)
    client.close()
    client.close()
    client.submit(Generate("b", "a", GREEDY), sink)
    assert [event.request_id for event in events if isinstance(event, Failed)] == ["a", "b"]
    assert decoder.is_closed


def test_a_fault_of_the_engine_itself_still_answers_every_request(
    make_client: Callable[..., InProcessClient], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_tokens: list[int]) -> int:
        raise ZeroDivisionError

    client = make_client(ScriptedDecoder(broken))
    with pytest.raises(InferenceFailed, match="log"):
        list(stream(client, Generate("a", "a", GREEDY)))
    assert "ZeroDivisionError" in caplog.text
