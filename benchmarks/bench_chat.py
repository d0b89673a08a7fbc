"""A long answer in the terminal chat: what a token costs while 20,000 of them stream onto the screen.

`scripts/bench -k bench_chat.py` runs this and prints the result. The answer (headings, paragraphs, lists, tables, code,
in three scripts) comes at 200 tokens/s into the real application, 100 columns by 30 rows, on Textual's terminal without
a screen: parsing, layout and the painting of rows are done, and their bytes are not written. What is remembered goes
into a file. The processor time is that of the whole process.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Never

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import fingerprint
from tui.app import ChatApp
from tui.client import ChatClient
from tui.events import Endpoint
from tui.history.opening import open_history
from tui.keeper import Keeper
from tui.on_screen import collect_rarely
from tui.shapes import Choice, Chunk, Delta, Usage
from tui.widgets.answer import Answer

NUM_TOKENS = 20_000
TOKENS_PER_SECOND = 200
SIZE = (100, 30)
NUM_WINDOWS = 10
# The last window's cost over the first one's: what is between 1 and this is chance.
WANTED_GROWTH = 1.25
# A token is on the screen this soon, in 95 of 100 cases; a tenth of a second is taken as at once.
WANTED_DELAY_SECONDS = 0.1
RESULTS = Path(__file__).parent / "results"

_SENTENCES = (
    "A model of this size reads **eight thousand** tokens, and forgets what came before them.",
    "Реката тече бавно между хълмовете, и никой не бърза, защото `вечерта` е дълга.",
    "川は丘の間をゆっくりと流れ、誰も急がない。*夕べ*は長いから。",
)


def answer() -> Iterator[str]:
    """An endless answer, in pieces of about four letters, as tokens are."""
    for number in itertools.count(1):
        for start in range(0, len(part := _part(number)), 4):
            yield part[start : start + 4]


def _part(number: int) -> str:
    said = [_SENTENCES[(number + at) % len(_SENTENCES)] for at in range(3)]
    items = "".join(f"- {sentence}\n" for sentence in said)
    steps = "".join(f"{at}. Step {at} of part {number}.\n" for at in range(1, 6))
    rows = "".join(f"| {at} | {at * number} | {'yes' if at % 2 else 'no'} |\n" for at in range(1, 6))
    code = "".join(f"    total += weights[{at}] * {number}  # line {at}\n" for at in range(8))
    return (
        f"## Part {number}\n\n{' '.join(said)}\n\n{said[0]} {said[2]}\n\n{items}\n{steps}\n"
        f"| n | product | odd |\n| --- | --- | --- |\n{rows}\n```python\ndef part_{number}(weights):\n{code}```\n\n"
    )


@dataclass
class Fed:
    """When each token came, when it was on the screen, and what the process had used by then."""

    came: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    num_frames: int = 0

    def take(self, text: str) -> None:
        """A token comes."""
        self.ends.append((self.ends[-1] if self.ends else 0) + len(text))
        self.came.append(time.perf_counter())
        self.used.append(time.process_time())
        self.frames.append(self.num_frames)

    def show(self, app: ChatApp) -> None:
        """The screen was painted, with as much of the answer as is laid out."""
        self.num_frames += 1
        length = sum(len(shown.source) for shown in app.conversation.transcript.children if isinstance(shown, Answer))
        self.shown += [time.perf_counter()] * (bisect_right(self.ends, length) - len(self.shown))

    def window(self, start: int, end: int) -> dict[str, float]:
        """The figures of some of the tokens."""
        delays = sorted(shown - came for came, shown in zip(self.came[start:end], self.shown[start:end], strict=True))
        frames = self.frames[end - 1] - self.frames[start]
        seconds = self.came[end - 1] - self.came[start]
        used = self.used[end - 1] - self.used[start]
        return {
            "cpu_ms_a_token": round(used / (end - 1 - start) * 1e3, 3),
            "cpu_ms_a_frame": round(used / frames * 1e3, 2),
            "frames_per_second": round(frames / seconds, 1),
            "tokens_per_second": round((end - 1 - start) / seconds, 1),
            "delay_ms_median": round(statistics.median(delays) * 1e3, 1),
            "delay_ms_p95": round(delays[len(delays) * 95 // 100] * 1e3, 1),
        }


class ScriptedClient(ChatClient):
    """A client whose endpoint answers with so many tokens of `answer`, at an even rate."""

    def __init__(self, fed: Fed, num_tokens: int) -> None:
        super().__init__(Endpoint("http://127.0.0.1:9", "", model="scripted"))
        self._fed = fed
        self._num_tokens = num_tokens

    async def look(self) -> None:
        """There is nothing to know."""

    async def chunks(self, _body: Mapping[str, Any]) -> AsyncGenerator[Chunk]:
        """See `ChatClient.chunks`."""
        begun = time.perf_counter()
        for number, text in enumerate(itertools.islice(answer(), self._num_tokens)):
            await asyncio.sleep(max(0.0, begun + number / TOKENS_PER_SECOND - time.perf_counter()))
            self._fed.take(text)
            yield Chunk([Choice(Delta(text))])
        yield Chunk([Choice(finish_reason="stop")], Usage(completion_tokens=self._num_tokens))


async def _never() -> Never:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.timeout(600)
def test_a_long_answer(benchmark: BenchmarkFixture, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last tokens cost what the first ones did, and are on the screen as soon."""
    result: dict[str, Any] = benchmark.pedantic(lambda: asyncio.run(measure(tmp_path)))  # type: ignore[no-untyped-call]  # pytest-benchmark's
    (RESULTS / "chat.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print("\n" + json.dumps(result, indent=2))
    if result["growth"] > WANTED_GROWTH:
        raise AssertionError(f"a token costs {result['growth']} times as much at the end as at the beginning")
    if result["delay_ms_p95_longest"] > WANTED_DELAY_SECONDS * 1e3:
        raise AssertionError(f"tokens are shown {result['delay_ms_p95_longest']} ms late")


async def measure(folder: Path, num_tokens: int = NUM_TOKENS) -> dict[str, Any]:
    """One answer, in ten windows of as many tokens each."""
    fed = Fed()
    collect_rarely()
    await stream(ChatApp(_never, keeper=Keeper(lambda: open_history(folder / "chat.sqlite3"))), fed, num_tokens)
    size = num_tokens // NUM_WINDOWS
    windows = [fed.window(start, start + size) for start in range(0, num_tokens, size)]
    return {
        "what": "an answer streamed into the chat",
        "tokens": num_tokens,
        "asked_tokens_per_second": TOKENS_PER_SECOND,
        "columns_and_rows": list(SIZE),
        "wanted_growth_at_most": WANTED_GROWTH,
        "wanted_delay_ms_p95_at_most": WANTED_DELAY_SECONDS * 1e3,
        "growth": round(windows[-1]["cpu_ms_a_token"] / windows[0]["cpu_ms_a_token"], 3),
        "delay_ms_p95_longest": max(window["delay_ms_p95"] for window in windows),
        "windows": windows,
        "machine": fingerprint(),
    }


async def stream(app: ChatApp, fed: Fed, num_tokens: int) -> None:
    """Ask for an answer, and wait until all of it is on the screen."""
    app.post_display_hook = partial(fed.show, app)  # type: ignore[method-assign]  # it is there to be replaced
    async with app.run_test(size=SIZE) as pilot:
        await app.conversation.begin(ScriptedClient(fed, num_tokens), "scripted", ())
        await app.conversation.say("Tell all.")
        await pilot.pause()
        while app.conversation.state != "ready" or len(fed.shown) < num_tokens:
            await asyncio.sleep(0.1)
