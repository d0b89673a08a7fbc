"""The loop around an engine: requests that follow answers which ended together are computed together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runtime.engine import loop as loop_module
from runtime.engine.engine import Engine
from runtime.engine.loop import EngineLoop, Inbox
from runtime.engine.messages import Event, Finished, Generate, Shutdown
from runtime.engine.sampling import SamplingParams
from tests.fakes.decoder import ByteTokenizer, ScriptedDecoder

GREEDY = SamplingParams(temperature=0)


@contextmanager
def running(decoder: ScriptedDecoder) -> Iterator[tuple[Inbox, queue.SimpleQueue[Event]]]:
    inbox: Inbox = queue.SimpleQueue()
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    engine_loop = EngineLoop(
        lambda emit, _: Engine(decoder, ByteTokenizer(), max_waiting=8, emit=emit), inbox, events.put
    )
    # Both are there before the loop begins, so that they run, and end, together.
    for name in ("a", "b"):
        inbox.put(Generate(name, name, GREEDY, max_tokens=2))
    thread = threading.Thread(target=engine_loop.run)
    thread.start()
    try:
        yield inbox, events
    finally:
        inbox.put(Shutdown())
        thread.join()


def wait_for_ends(events: queue.SimpleQueue[Event], count: int) -> None:
    while count:
        count -= isinstance(events.get(timeout=20), Finished)


def test_requests_after_answers_that_ended_together_begin_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_SUCCESSOR_SECONDS", 20.0)
    decoder = ScriptedDecoder(lambda tokens: tokens[-1] % 256 + 1)
    with running(decoder) as (inbox, events):
        wait_for_ends(events, 2)
        num_before = len(decoder.steps)
        inbox.put(Generate("c", "c" * 3, GREEDY, max_tokens=1))
        assert not threading.Event().wait(0.05)
        inbox.put(Generate("d", "d" * 4, GREEDY, max_tokens=1))
        wait_for_ends(events, 2)
    assert [[len(chunk.tokens) for chunk in step] for step in decoder.steps[num_before:]] == [[3, 4]]


def test_a_request_whose_companion_does_not_come_begins_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_SUCCESSOR_SECONDS", 0.01)
    decoder = ScriptedDecoder(lambda tokens: tokens[-1] % 256 + 1)
    with running(decoder) as (inbox, events):
        wait_for_ends(events, 2)
        inbox.put(Generate("c", "c", GREEDY, max_tokens=1))
        wait_for_ends(events, 1)
