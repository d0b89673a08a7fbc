"""A client gets every event of its own request, in its own thread or loop, and exactly one last one."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from runtime.engine.client import InProcessClient, stream
from runtime.engine.messages import Delta, Event, Failed, Finished, FinishReason, Generate
from runtime.engine.request import Sequence
from runtime.engine.sampling import SamplingParams
from runtime.errors import InferenceFailed, InvalidRequest
from tests.fakes.decoder import ScriptedDecoder

GREEDY = SamplingParams(temperature=0)


def count_up(tokens: list[int]) -> int:
    return tokens[-1] % 256 + 1


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
    decoder.num_slots = decoder.max_sequences  # so that nothing is kept on purpose
    client = make_client(decoder)
    events = stream(client, Generate("a", "a", GREEDY))
    next(events)
    events.close()  # type: ignore[attr-defined]  # a generator
    assert "".join(e.text for e in stream(client, Generate("b", "a", GREEDY, 2)) if isinstance(e, Delta)) == "bc"
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


def test_a_fault_while_an_answer_is_closed_still_answers_the_request(
    make_client: Callable[..., InProcessClient], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_self: Sequence, _reason: FinishReason) -> Finished:
        raise ZeroDivisionError

    monkeypatch.setattr(Sequence, "finished", broken)
    client = make_client(ScriptedDecoder(count_up))
    with pytest.raises(InferenceFailed, match="log"):
        list(stream(client, Generate("a", "a", GREEDY, max_tokens=1)))
    assert "ZeroDivisionError" in caplog.text
