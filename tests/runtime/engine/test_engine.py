"""The engine over a scripted decoder: every request is answered once, and the KV cache is never overrun."""

from __future__ import annotations

import math

import pytest

from runtime.engine.engine import Engine
from runtime.engine.messages import Abort, Generate
from runtime.engine.sampling import SamplingParams
from runtime.errors import ContextOverflow, InferenceFailed, InvalidRequest, QueueFull
from tests.fakes.decoder import END, ByteTokenizer, ScriptedDecoder, answer_with
from tests.fakes.listener import Listener

GREEDY = SamplingParams(temperature=0)


class Desk(Listener):
    """An engine and what it has said, by request."""

    def __init__(self, decoder: ScriptedDecoder, max_waiting: int = 8, max_answer: int | None = None) -> None:
        super().__init__()
        self.engine = Engine(
            decoder, ByteTokenizer(), max_waiting=max_waiting, max_answer=max_answer, emit=self.events.append
        )

    def ask(self, name: str, prompt: str, max_tokens: int | None = None, stop: tuple[str, ...] = ()) -> None:
        self.engine.generate(Generate(name, prompt, GREEDY, max_tokens, stop))

    def run(self) -> None:
        while self.engine.has_work:
            self.engine.step()


def echo_next(tokens: list[int]) -> int:
    """The answer counts up from the prompt's last byte, for ever."""
    return tokens[-1] % 256 + 1


def test_an_answer_ends_at_the_end_token_and_its_counts_leave_that_token_out() -> None:
    decoder = ScriptedDecoder(answer_with("Добър ден", "hi"))
    desk = Desk(decoder)
    desk.ask("a", "hi")
    desk.run()
    assert desk.text("a") == "Добър ден"
    assert desk.last("a").reason == "stop"
    assert (desk.last("a").usage.prompt_tokens, desk.last("a").usage.completion_tokens) == (2, 17)
    assert decoder.num_used == 0


def test_a_request_gets_no_more_than_the_longest_answer_and_may_not_ask_for_more() -> None:
    desk = Desk(ScriptedDecoder(echo_next), max_answer=5)
    desk.ask("none", "hi")
    desk.ask("less", "hi", 4)
    desk.ask("all", "hi", 5)
    desk.ask("more", "hi", 6)
    desk.run()
    assert [desk.last(name).usage.completion_tokens for name in ("none", "less", "all")] == [5, 4, 5]
    assert desk.last("none").reason == "length"
    error = desk.error("more")
    assert isinstance(error, InvalidRequest)
    assert error.param == "max_tokens"
    assert "6 tokens" in str(error) and "at most 5" in str(error)


def test_the_end_of_the_context_comes_before_that_of_the_longest_answer() -> None:
    desk = Desk(ScriptedDecoder(echo_next, context_length=8), max_answer=50)
    desk.ask("a", "hi")
    desk.run()
    assert desk.last("a").usage.completion_tokens == 6


def test_an_answer_is_cut_at_max_tokens() -> None:
    desk = Desk(ScriptedDecoder(echo_next))
    desk.ask("a", "a", max_tokens=3)
    desk.run()
    assert desk.text("a") == "bcd"
    assert desk.last("a").reason == "length"


def test_an_answer_without_a_limit_is_cut_at_the_end_of_the_context() -> None:
    desk = Desk(ScriptedDecoder(echo_next, context_length=8))
    desk.ask("a", "a")
    desk.run()
    assert desk.text("a") == "bcdefgh"
    assert desk.last("a").reason == "length"


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it() -> None:
    desk = Desk(ScriptedDecoder(echo_next))
    desk.ask("a", "a", stop=("ef",))
    desk.run()
    assert desk.text("a") == "bcd"
    assert desk.last("a").reason == "stop"


def test_a_long_prompt_is_read_in_chunks_no_larger_than_the_batch() -> None:
    decoder = ScriptedDecoder(echo_next, batch_size=16)
    desk = Desk(decoder)
    desk.ask("a", "x" * 40 + "a", max_tokens=1)
    desk.run()
    assert [len(step[0].tokens) for step in decoder.steps] == [16, 16, 9]
    assert [step[0].num_logits for step in decoder.steps] == [0, 0, 1]
    assert desk.text("a") == "b"


def test_requests_share_steps_and_a_long_prompt_does_not_stall_the_others() -> None:
    decoder = ScriptedDecoder(echo_next, batch_size=16, num_cells=200, context_length=100)
    desk = Desk(decoder)
    desk.ask("short", "a", max_tokens=6)
    desk.engine.step()
    desk.ask("long", "x" * 60, max_tokens=1)
    before = len(decoder.steps)
    desk.run()
    sizes = [sorted(len(chunk.tokens) for chunk in step) for step in decoder.steps[before:]]
    assert sizes[:4] == [[1, 15]] * 4
    assert desk.text("short") == "bcdefg"


def test_no_more_requests_run_at_once_than_there_are_slots_and_all_are_answered() -> None:
    decoder = ScriptedDecoder(echo_next, max_sequences=2)
    desk = Desk(decoder)
    for name in "abcde":
        desk.ask(name, name, max_tokens=2)
    desk.run()
    assert max(len(step) for step in decoder.steps) == 2
    assert [desk.text(name) for name in "abcde"] == ["bc", "cd", "de", "ef", "fg"]


def test_when_the_cells_run_out_the_youngest_waits_and_both_answers_are_whole() -> None:
    decoder = ScriptedDecoder(echo_next, num_cells=24, context_length=24, batch_size=24)
    desk = Desk(decoder)
    desk.ask("old", "a", max_tokens=20)
    desk.ask("young", "A", max_tokens=20)
    desk.run()
    assert desk.text("old") == "bcdefghijklmnopqrstu"
    assert desk.text("young") == "BCDEFGHIJKLMNOPQRSTU"
    # A computed cell a token; the preempted one's cells were computed twice.
    assert sum(len(chunk.tokens) for step in decoder.steps for chunk in step) > 40
    assert decoder.most_cells <= 24


def test_a_cancelled_request_frees_its_cells_at_once_and_says_so() -> None:
    decoder = ScriptedDecoder(echo_next)
    desk = Desk(decoder)
    desk.ask("a", "a")
    desk.ask("b", "A", max_tokens=4)
    desk.engine.step()
    desk.engine.step()
    desk.engine.abort(Abort("a"))
    assert list(decoder.cells) == [chunk.slot for chunk in decoder.steps[-1] if chunk.tokens[0] != ord("b") + 1]
    desk.run()
    assert desk.last("a").reason == "cancelled"
    assert desk.text("a") == "bc"
    assert desk.text("b") == "BCDE"


def test_a_request_can_be_cancelled_in_the_middle_of_its_prompt_and_while_it_waits() -> None:
    decoder = ScriptedDecoder(echo_next, batch_size=4, max_sequences=1)
    desk = Desk(decoder)
    desk.ask("reading", "x" * 20)
    desk.ask("waiting", "y")
    desk.engine.step()
    desk.engine.abort(Abort("reading"))
    desk.engine.abort(Abort("waiting"))
    desk.engine.abort(Abort("unknown"))
    assert not desk.engine.has_work
    assert decoder.num_used == 0
    assert desk.last("reading").reason == desk.last("waiting").reason == "cancelled"


def test_a_prompt_over_the_context_is_refused_with_both_numbers() -> None:
    desk = Desk(ScriptedDecoder(echo_next, context_length=8))
    desk.ask("a", "x" * 8)
    error = desk.error("a")
    assert isinstance(error, ContextOverflow)
    assert (error.num_tokens, error.context_length) == (9, 8)
    assert "9" in str(error)
    assert "8" in str(error)


def test_prompt_and_answer_together_over_the_context_are_refused_and_not_cut() -> None:
    desk = Desk(ScriptedDecoder(echo_next, context_length=8))
    desk.ask("a", "xxxx", max_tokens=5)
    assert isinstance(desk.error("a"), ContextOverflow)


@pytest.mark.parametrize(
    "request_", [Generate("a", "", GREEDY), Generate("a", "x", GREEDY, max_tokens=0), Generate("a", (999,), GREEDY)]
)
def test_what_cannot_be_asked_is_refused(request_: Generate) -> None:
    desk = Desk(ScriptedDecoder(echo_next))
    desk.engine.generate(request_)
    assert isinstance(desk.error("a"), InvalidRequest)
    assert not desk.engine.has_work


def test_a_wrong_sampling_value_is_refused_before_anything_is_computed() -> None:
    decoder = ScriptedDecoder(echo_next)
    desk = Desk(decoder)
    desk.engine.generate(Generate("a", "x", SamplingParams(temperature=math.nan)))
    assert isinstance(desk.error("a"), InvalidRequest)
    assert decoder.steps == []


def test_a_full_queue_answers_at_once() -> None:
    desk = Desk(ScriptedDecoder(echo_next), max_waiting=2)
    for name in "abc":
        desk.ask(name, name, max_tokens=1)
    assert isinstance(desk.error("c"), QueueFull)
    desk.run()
    assert desk.text("a") == "b"


def test_a_failing_backend_fails_the_requests_of_that_step_and_no_others() -> None:
    decoder = ScriptedDecoder(echo_next, max_sequences=1)
    decoder.fail_at = 1
    desk = Desk(decoder)
    desk.ask("a", "a", max_tokens=4)
    desk.ask("b", "b", max_tokens=2)
    desk.run()
    assert isinstance(desk.error("a"), InferenceFailed)
    assert desk.text("b") == "cd"
    assert decoder.num_used == 0


def test_an_empty_answer_is_an_answer() -> None:
    desk = Desk(ScriptedDecoder(lambda _tokens: END))
    desk.ask("a", "a")
    desk.run()
    assert desk.text("a") == ""
    assert desk.last("a").usage.completion_tokens == 0
