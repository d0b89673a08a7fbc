"""An event loop's way to the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from runtime.api.streaming import stream_async
from runtime.engine.client import InProcessClient
from runtime.engine.messages import Delta, Generate
from runtime.engine.sampling import SamplingParams
from tests.fakes.decoder import ScriptedDecoder

GREEDY = SamplingParams(temperature=0)


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
