"""An event loop's way to the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing

import pytest

from runtime.api.streaming import generate_all
from runtime.backends.base import Chunk, Logits
from runtime.engine.awaiting import stream_async
from runtime.engine.client import InProcessClient
from runtime.engine.messages import Delta, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.errors import ContextOverflow
from tests.fakes.decoder import ScriptedDecoder
from tests.fakes.visitor import Visitor

GREEDY = SamplingParams(temperature=0)
ENDLESS = 1_000_000


def count_up(tokens: list[int]) -> int:
    return tokens[-1] % 256 + 1


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
    decoder.num_slots = decoder.max_sequences  # so that nothing is kept on purpose
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


def endless(make_client: Callable[..., InProcessClient]) -> InProcessClient:
    return make_client(ScriptedDecoder(count_up, context_length=ENDLESS, num_cells=ENDLESS))


async def until_idle(client: InProcessClient) -> None:
    async with asyncio.timeout(1):
        while client.idle_seconds is None:
            await asyncio.sleep(0.01)


class SlowDecoder(ScriptedDecoder):
    """Takes so long for a step that all requests arrive before the first one is answered."""

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        time.sleep(0.05)
        return super().forward(chunks, adapter)


async def test_events_of_several_requests_come_as_they_come_each_with_its_index(
    make_client: Callable[..., InProcessClient],
) -> None:
    client = make_client(SlowDecoder(count_up))
    requests = [Generate(letter, letter, GREEDY, max_tokens=3) for letter in "adg"]
    events = [event async for event in generate_all(client, requests, Visitor().http)]
    texts = ["".join(e.text for at, e in events if at == index and isinstance(e, Delta)) for index in range(3)]
    assert texts == ["bcd", "efg", "hij"]
    assert sorted(index for index, event in events if isinstance(event, Finished)) == [0, 1, 2]
    order = [index for index, _ in events]
    assert order != sorted(order)


async def test_leaving_the_events_of_several_requests_takes_all_back(
    make_client: Callable[..., InProcessClient],
) -> None:
    client = endless(make_client)
    async with aclosing(
        generate_all(client, [Generate(name, "a", GREEDY) for name in "abc"], Visitor().http)
    ) as events:
        seen: set[int] = set()
        while len(seen) < 3:
            seen.add((await anext(events))[0])
        assert client.idle_seconds is None
    await until_idle(client)


async def test_a_request_that_fails_takes_the_others_back(make_client: Callable[..., InProcessClient]) -> None:
    client = endless(make_client)
    requests = [Generate("a", "a", GREEDY), Generate("b", "a", GREEDY, max_tokens=ENDLESS), Generate("c", "a", GREEDY)]
    with pytest.raises(ContextOverflow):
        async for _ in generate_all(client, requests, Visitor().http):
            pass
    await until_idle(client)


async def test_a_client_that_goes_takes_all_its_requests_back(make_client: Callable[..., InProcessClient]) -> None:
    client, visitor = endless(make_client), Visitor()
    reasons: list[str] = []
    async for _, event in generate_all(client, [Generate(name, "a", GREEDY) for name in "abc"], visitor.http):
        visitor.gone.set()
        if isinstance(event, Finished):
            reasons.append(event.reason)
    assert reasons == ["cancelled"] * 3
    await until_idle(client)
