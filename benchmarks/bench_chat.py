"""The terminal chat: what showing an answer costs while it streams, up to 20,000 tokens.

`scripts/bench -k chat` runs this and prints the result. Answers of several shapes stream at 200 tokens/s onto Textual's
headless terminal, through the widgets of the chat. For two seconds at the start, in the middle and at the end the
processor time is measured, and how late the event loop was: that is how long a frame, or a key, had to wait.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from textual.app import App, ComposeResult

from benchmarks.machine import fingerprint
from tui.widgets.message import Answer
from tui.widgets.transcript import Transcript

TOKENS_PER_SECOND = 200
NUM_TOKENS = 20_000
SECONDS = 2.0
# After how many tokens it is measured.
POINTS = (0, 5_000, 10_000, NUM_TOKENS - int(TOKENS_PER_SECOND * SECONDS))
# What a token of the last point may cost, as times of one of the second.
MOST_GROWTH = 1.5
MOST_SHARE = 0.9
TICK = 0.005
SIZE = (100, 40)
RESULTS = Path(__file__).parent / "results"
WORDS = ("дума ", "слово ", "word ", "ord ", "palabra ", "mot ", "कलम ", "كلمة ", "**bold** ", "`code` ")


def _paragraphs() -> Iterator[str]:
    for number in itertools.count(1):
        yield "\n\n" if number % 60 == 0 else WORDS[number % len(WORDS)]


def _list() -> Iterator[str]:
    for number in itertools.count(1):
        yield "\n- " if number % 20 == 0 else WORDS[number % len(WORDS)]


def _code() -> Iterator[str]:
    yield "```python\n"
    for number in itertools.count(1):
        yield "\n" if number % 12 == 0 else f"x{number % 7} + "


def _table() -> Iterator[str]:
    yield "| a | b | c |\n|---|---|---|\n"
    for number in itertools.count(1):
        yield " |\n| " if number % 15 == 0 else (" | " if number % 5 == 0 else WORDS[number % 8])


SHAPES = {"paragraphs": _paragraphs, "one list": _list, "one block of code": _code, "one table": _table}


class _Chat(App[None]):
    CSS_PATH = str(Path(__file__).parents[1] / "tui" / "app.tcss")

    def compose(self) -> ComposeResult:
        yield Transcript()


@pytest.mark.timeout(900)
def test_chat_streaming(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """A long answer costs no more at its end than at its beginning, and leaves the screen time at 200 tokens/s."""
    result: dict[str, Any] = benchmark.pedantic(measure)  # type: ignore[no-untyped-call]  # pytest-benchmark's
    (RESULTS / "chat.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print("\n" + json.dumps(result, indent=2))
    for shape, points in result["shapes"].items():
        early, late = points[1]["share_of_a_processor"], points[-1]["share_of_a_processor"]
        if late > MOST_SHARE or late > MOST_GROWTH * early:
            raise AssertionError(f"{shape}: {early} of a processor became {late}")


def measure() -> dict[str, Any]:
    """All shapes, one after the other."""
    return {
        "tokens_per_second": TOKENS_PER_SECOND,
        "tokens": NUM_TOKENS,
        "shapes": {name: asyncio.run(_stream(make())) for name, make in SHAPES.items()},
        "machine": fingerprint(),
    }


async def _stream(tokens: Iterator[str]) -> list[dict[str, float]]:
    app, points, num_sent = _Chat(), [], 0
    async with app.run_test(size=SIZE) as pilot:
        transcript = app.query_one(Transcript)
        answer = Answer()
        await transcript.add(answer, after=await transcript.say("?"))
        for point in POINTS:
            while num_sent < point:
                await answer.write("".join(itertools.islice(tokens, 100)))
                num_sent += 100
                await asyncio.sleep(0.001)
            await pilot.pause(0.5)
            points.append({"after_tokens": point, **await _measure(answer, tokens)})
            num_sent += int(TOKENS_PER_SECOND * SECONDS)
        await answer.finish()
    return points


async def _measure(answer: Answer, tokens: Iterator[str]) -> dict[str, float]:
    late: list[float] = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK)
            late.append(time.perf_counter() - before - TICK)

    ticking = asyncio.create_task(tick())
    started, used = time.perf_counter(), time.process_time()
    for number in range(int(TOKENS_PER_SECOND * SECONDS)):
        await answer.write(next(tokens))
        await asyncio.sleep(max(0.0, started + (number + 1) / TOKENS_PER_SECOND - time.perf_counter()))
    seconds, used = time.perf_counter() - started, time.process_time() - used
    ticking.cancel()
    late.sort()
    return {
        "share_of_a_processor": round(used / seconds, 3),
        "ms_a_token": round(used / (TOKENS_PER_SECOND * SECONDS) * 1e3, 2),
        "tokens_per_second": round(TOKENS_PER_SECOND * SECONDS / seconds, 1),
        "late_median_ms": round(statistics.median(late) * 1e3, 1),
        "late_p95_ms": round(late[len(late) * 95 // 100] * 1e3, 1),
        "late_longest_ms": round(late[-1] * 1e3, 1),
    }
