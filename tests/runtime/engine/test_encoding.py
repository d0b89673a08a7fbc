"""The engine of vectors: steps that are full and fair, and one last event for every request."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.engine.client import InProcessClient
from runtime.engine.encoding import EncodingEngine
from runtime.engine.messages import Abort, Encode, Event, Failed, Finished, Generate, Row
from runtime.engine.rows import RowCollector
from runtime.engine.sampling import SamplingParams
from runtime.errors import Cancelled, InvalidRequest, QueueFull
from runtime.models.encoding import Encoding
from tests.fakes.decoder import ByteTokenizer
from tests.fakes.encoder import SumEncoder


class Bench:
    """An engine, its encoder, and what it has emitted."""

    def __init__(self, pooling: str = "rank", max_waiting: int = 4) -> None:
        self.encoder = SumEncoder()
        self.events: list[Event] = []
        encoding = Encoding("rank" if pooling == "rank" else "mean", is_causal=False)
        self.engine = EncodingEngine(
            self.encoder, ByteTokenizer(), encoding, max_waiting=max_waiting, emit=self.events.append
        )

    def send(self, name: str, *inputs: str, **more: object) -> None:
        self.engine.encode(Encode(name, inputs, **more))  # type: ignore[arg-type]  # fields of the message

    def run(self) -> None:
        while self.engine.has_work:
            self.engine.step()

    def last(self, name: str) -> Event:
        mine = [event for event in self.events if event.request_id == name]
        assert [event for event in mine if not isinstance(event, Row)] == mine[-1:]
        return mine[-1]


def test_every_input_gets_its_own_row_and_the_request_one_last_event() -> None:
    bench = Bench()
    bench.send("a", "x", "yy", "zzz")
    bench.run()
    rows = RowCollector(3)
    whole = [answer for event in bench.events if (answer := rows.take(event)) is not None]
    assert [[int(value) for value in row] for row in whole[0].values] == [[1, 121], [2, 244], [3, 369]]
    assert whole[0].num_tokens == 6
    assert isinstance(bench.last("a"), Finished)


def test_inputs_of_several_requests_share_steps_and_none_waits_for_all_of_anothers() -> None:
    bench = Bench()
    bench.send("long", *["aaaa"] * 10)
    bench.send("short", "bb")
    bench.engine.step()
    assert len(bench.encoder.steps[0]) == 4
    assert isinstance(bench.last("short"), Finished)
    bench.run()
    assert isinstance(bench.last("long"), Finished)
    assert len(bench.encoder.steps) == 3


def test_a_step_keeps_to_its_tokens_but_for_one_longer_text() -> None:
    bench = Bench()
    bench.send("a", "x" * 30, "y" * 10, "z" * 10)
    bench.run()
    assert [[len(tokens) for tokens in step] for step in bench.encoder.steps] == [[30], [10], [10]]


def test_windows_are_weighted_by_their_tokens_and_the_mean_has_length_1() -> None:
    bench = Bench("mean")
    bench.send("a", "x" * 48, overflow="chunk")
    bench.run()
    assert [len(tokens) for step in bench.encoder.steps for tokens in step] == [32, 16]
    row = next(event for event in bench.events if isinstance(event, Row))
    units = [np.array(row) / np.linalg.norm(row) for row in ([32, 32 * 121], [16, 16 * 121])]
    mean = (32 * units[0] + 16 * units[1]) / 48
    assert np.frombuffer(row.data, "<f4") == pytest.approx(mean / np.linalg.norm(mean))


def test_a_full_queue_is_told_at_once_and_does_not_touch_those_in_it() -> None:
    bench = Bench(max_waiting=2)
    for name in ("a", "b", "c"):
        bench.send(name, "x")
    refused = bench.last("c")
    assert isinstance(refused, Failed) and isinstance(refused.error, QueueFull)
    bench.run()
    assert isinstance(bench.last("a"), Finished) and isinstance(bench.last("b"), Finished)
    bench.send("d", "x")
    bench.run()
    assert isinstance(bench.last("d"), Finished)


def test_a_request_taken_back_is_computed_no_further() -> None:
    bench = Bench()
    bench.send("a", *["aaaa"] * 10)
    bench.engine.step()
    bench.engine.abort(Abort("a"))
    last = bench.last("a")
    assert isinstance(last, Finished) and last.reason == "cancelled"
    assert not bench.engine.has_work
    with pytest.raises(Cancelled):
        RowCollector(1).take(last)
    bench.engine.abort(Abort("a"))
    bench.engine.abort(Abort("never"))
    assert len([event for event in bench.events if isinstance(event, Finished)]) == 1


def test_a_step_that_fails_costs_the_requests_in_it_and_no_others() -> None:
    bench = Bench()
    bench.encoder.fail_at = 0
    for name in ("a", "b"):
        bench.send(name, "x" * 16, "y")
    bench.run()
    assert isinstance(bench.last("a"), Failed)
    assert isinstance(bench.last("b"), Finished)


def test_numbers_that_are_not_finite_are_a_fault() -> None:
    bench = Bench()
    bench.encoder.encode = lambda passages: [np.full(2, np.nan, np.float32)] * len(passages)  # type: ignore[method-assign]
    bench.send("a", "x")
    bench.run()
    failed = bench.last("a")
    assert isinstance(failed, Failed) and "not finite" in str(failed.error)


def test_scores_have_no_dimensions() -> None:
    bench = Bench()
    bench.send("a", "x", dimensions=1)
    failed = bench.last("a")
    assert isinstance(failed, Failed) and isinstance(failed.error, InvalidRequest)
    assert failed.error.param == "dimensions"


def test_closing_answers_what_is_in_flight() -> None:
    encoder = SumEncoder()
    events: list[Event] = []
    client = InProcessClient(
        lambda emit, _wake: EncodingEngine(
            encoder, ByteTokenizer(), Encoding("mean", is_causal=False), max_waiting=4, emit=emit
        ),
        close_backend=encoder.close,
    )
    client.submit(Generate("g", "x", SamplingParams()), events.append)
    client.close()
    client.submit(Encode("e", ("x",)), events.append)
    assert [type(event) for event in events] == [Failed, Failed]
    assert encoder.is_closed
