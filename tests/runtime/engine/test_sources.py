"""Sources of an encoder-decoder: each answer looks at its own, whoever joins, leaves, fails or is sent back."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.backends.base import SourceEncoder
from runtime.engine.engine import Engine
from runtime.engine.messages import Abort, Generate
from runtime.engine.sampling import SamplingParams
from runtime.engine.sources import SourceBatch
from runtime.errors import ContextOverflow, InferenceFailed, InvalidRequest
from tests.fakes.decoder import END, START, ByteTokenizer, ScriptedSeq2Seq
from tests.fakes.listener import Listener

GREEDY = SamplingParams(temperature=0)


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk(Listener):
    """An engine over an encoder-decoder that copies its source, and what it has said."""

    def __init__(self, decoder: ScriptedSeq2Seq, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr("runtime.engine.scheduler.SourceBatch", self._make_batch)
        super().__init__()
        self.decoder = decoder
        self.engine = Engine(decoder, ByteTokenizer(), max_waiting=16, max_draft=8, emit=self.events.append)

    def _make_batch(self, encoder: SourceEncoder) -> SourceBatch:
        return SourceBatch(encoder, self.clock)

    def ask(self, name: str, source: str, *, adapter: str | None = None, max_tokens: int | None = None) -> None:
        self.engine.generate(Generate(name, source, GREEDY, max_tokens, adapter=adapter))

    def run(self) -> None:
        while self.engine.has_work:
            self.engine.step()
            self.clock.now += 1.0

    @property
    def sizes(self) -> list[list[int]]:
        """How many tokens each source had, in each encoding."""
        return [[len(source.tokens) for source in together] for together in self.decoder.encoded]


def copy_source(tokens: list[int]) -> int:
    """The answer is the source over again."""
    at = tokens.index(START)
    source, answer = tokens[:at], tokens[at + 1 :]
    return source[len(answer)] if len(answer) < len(source) else END


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(ScriptedSeq2Seq(copy_source), monkeypatch)


def test_several_answers_at_once_each_look_at_their_own_source(desk: Desk) -> None:
    texts = {"a": "хляб", "b": "ขนมปัง"[:2], "c": "bread"}
    for name, text in texts.items():
        desk.ask(name, text)
    desk.run()
    assert {name: desk.text(name) for name in texts} == texts
    assert desk.sizes == [[8, 6, 5]]
    assert desk.last("a").usage.prompt_tokens == 8
    assert desk.last("a").usage.completion_tokens == 8
    assert desk.engine.statistics.totals.prefill_tokens == 19 + 3


def test_one_that_joins_has_all_sources_encoded_again_and_the_others_go_on(desk: Desk) -> None:
    desk.ask("a", "абвг")
    desk.engine.step()
    desk.engine.step()
    desk.clock.now += 1
    desk.ask("b", "xyz")
    desk.run()
    assert (desk.text("a"), desk.text("b")) == ("абвг", "xyz")
    assert desk.sizes == [[8], [8, 3]]


def test_nobody_joins_before_the_others_had_as_long_as_the_last_encoding_took(desk: Desk) -> None:
    def take_time() -> None:
        desk.clock.now += 3

    desk.decoder.on_encode = take_time
    desk.ask("a", "abcdefgh")
    desk.engine.step()
    desk.ask("b", "x")
    desk.ask("c", "y")
    for _ in range(2):
        desk.clock.now += 1
        desk.engine.step()
        assert len(desk.sizes) == 1
    desk.clock.now += 1
    desk.engine.step()
    assert desk.sizes == [[8], [8, 1, 1]]  # those who waited join together
    desk.run()
    assert [desk.text(name) for name in "abc"] == ["abcdefgh", "x", "y"]


def test_where_nothing_runs_nobody_waits(desk: Desk) -> None:
    desk.decoder.on_encode = lambda: setattr(desk.clock, "now", desk.clock.now + 100)
    desk.ask("a", "ab")
    desk.run()
    desk.ask("b", "cd")
    desk.engine.step()
    assert desk.sizes == [[2], [2]]


def test_sources_that_do_not_fit_one_batch_wait_in_their_order(desk: Desk) -> None:
    desk.ask("a", "a" * 12)
    desk.ask("b", "b" * 12)
    desk.ask("c", "c" * 12)
    desk.ask("d", "d")  # fits beside the first two no more
    desk.run()
    assert [desk.text(name) for name in "abcd"] == ["a" * 12, "b" * 12, "c" * 12, "d"]
    assert desk.sizes == [[12, 12], [12, 1]]


def test_answers_to_one_source_need_it_encoded_once(desk: Desk) -> None:
    for name in "abc":
        desk.ask(name, "мир")
    desk.run()
    assert [desk.text(name) for name in "abc"] == ["мир"] * 3
    assert desk.sizes == [[6]]
    assert sorted(desk.decoder.encoded[0][0].slots) == [1, 2, 3]
    assert [desk.last(name).usage.cached_tokens for name in "abc"] == [0, 6, 6]
    assert desk.engine.statistics.totals.cached_tokens == 12


def test_an_adapter_waits_until_those_with_another_are_done(desk: Desk) -> None:
    desk.engine.attach("bg", Path("bg.gguf"))
    desk.ask("a", "abc")
    desk.ask("b", "def", adapter="bg")
    desk.ask("c", "ghi")  # not before the second
    desk.run()
    assert [desk.text(name) for name in "abc"] == ["abc", "def", "ghi"]
    assert desk.decoder.encoded_with == [None, "bg", None]
    assert desk.sizes == [[3], [3], [3]]


def test_one_that_is_taken_back_leaves_the_others_alone(desk: Desk) -> None:
    for name in "abc":
        desk.ask(name, name * 6)
    for _ in range(3):
        desk.engine.step()
    desk.engine.abort(Abort("b"))
    desk.clock.now += 1
    desk.ask("d", "dd")
    desk.run()
    assert desk.last("b").reason == "cancelled"
    assert [desk.text(name) for name in "abcd"] == ["aaaaaa", "bbb", "cccccc", "dd"]
    assert desk.decoder.num_used == 0


def test_one_that_is_sent_back_for_want_of_cells_sees_its_source_again(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = ScriptedSeq2Seq(copy_source, num_cells=16, context_length=16)
    desk = Desk(decoder, monkeypatch)
    texts = {"a": "abcdefghijkl", "b": "mnopqrstuvwx"}
    for name, text in texts.items():
        desk.ask(name, text)
    desk.run()
    assert {name: desk.text(name) for name in texts} == texts
    assert desk.engine.statistics.totals.preemptions > 0


def test_nothing_is_shared_kept_or_guessed(desk: Desk) -> None:
    for name in ("a", "b"):
        desk.ask(name, "aaaaaaaaaaaaaaaa")
        desk.run()
    assert desk.engine.num_kept == 0
    assert desk.last("b").usage.cached_tokens == 0
    assert desk.last("b").usage.drafted_tokens == 0


def test_sources_that_nobody_looks_at_go_when_they_have_cost_as_much_as_encoding_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(ScriptedSeq2Seq(lambda _: 98, context_length=200, num_cells=400), monkeypatch)
    desk.ask("a", "aaaa", max_tokens=100)
    desk.ask("b", "b" * 16, max_tokens=10)
    for _ in range(10):
        desk.engine.step()
    # 32 steps with 4 tokens cost what encoding them does, and 16 tokens are idle in each step from here on.
    for _ in range(7):
        desk.engine.step()
        assert desk.sizes == [[4, 16]]
    desk.engine.step()
    assert desk.sizes == [[4, 16], [4]]
    desk.run()
    assert desk.sizes == [[4, 16], [4]]
    assert desk.text("a") == "a" * 100


def test_where_encoding_fails_all_that_run_are_told_and_the_next_request_is_answered(desk: Desk) -> None:
    desk.ask("a", "abc")
    desk.engine.step()
    desk.clock.now += 1
    desk.ask("b", "def")
    desk.decoder.fail_encoding = True
    desk.engine.step()
    assert isinstance(desk.error("a"), InferenceFailed)
    assert isinstance(desk.error("b"), InferenceFailed)
    desk.ask("c", "ghi")
    desk.run()
    assert desk.text("c") == "ghi"


def test_a_source_longer_than_the_encoder_takes_is_refused(desk: Desk) -> None:
    desk.ask("a", "a" * 17)
    error = desk.error("a")
    assert isinstance(error, ContextOverflow)
    assert (error.num_tokens, error.context_length) == (17, 16)


def test_an_answer_has_the_whole_context_whatever_its_source_takes(desk: Desk) -> None:
    desk.ask("a", "a" * 16, max_tokens=64)
    desk.ask("b", "a" * 16, max_tokens=65)
    error = desk.error("b")
    assert isinstance(error, ContextOverflow)
    assert (error.num_tokens, error.context_length) == (65, 64)
    desk.run()
    assert desk.text("a") == "a" * 16
    assert desk.last("a").usage.context_tokens == 16


def test_an_answer_without_a_length_ends_with_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(ScriptedSeq2Seq(lambda _: 98, context_length=20, num_cells=20), monkeypatch)
    desk.ask("a", "abc")
    desk.run()
    assert desk.text("a") == "a" * 20
    assert (desk.last("a").reason, desk.last("a").usage.context_tokens) == ("length", 20)


def test_logprobs_of_the_prompt_are_refused(desk: Desk) -> None:
    desk.engine.generate(Generate("a", "abc", GREEDY, 1, logprobs=1, prompt_logprobs=True))
    error = desk.error("a")
    assert isinstance(error, InvalidRequest)
    assert error.param == "echo"
    assert "encodes its prompt" in error.message
