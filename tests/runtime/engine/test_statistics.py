"""What an engine says of itself is what it has done."""

from __future__ import annotations

import time
from collections.abc import Sequence

from runtime.backends.base import Chunk, Logits
from runtime.engine.engine import Engine
from runtime.engine.messages import Event, Finished, Generate
from runtime.engine.prefix import MIN_SHARED
from runtime.engine.sampling import SamplingParams
from runtime.engine.statistics import EngineStatistics, Totals
from tests.fakes.decoder import ByteTokenizer, ScriptedDecoder, answer_with

GREEDY = SamplingParams(temperature=0)


def count_up(tokens: list[int]) -> int:
    return tokens[-1] % 256 + 1


def make_engine(decoder: ScriptedDecoder, events: list[Event]) -> Engine:
    return Engine(decoder, ByteTokenizer(), max_waiting=8, emit=events.append)


def run(engine: Engine, *prompts: str, max_tokens: int | None = None) -> Totals:
    """Answer the prompts side by side; the totals after that."""
    for number, prompt in enumerate(prompts):
        engine.generate(Generate(str(number), prompt, GREEDY, max_tokens))
    while engine.has_work:
        engine.step()
    return engine.statistics.totals


def test_tokens_of_prompts_and_of_answers_are_told_apart() -> None:
    decoder = ScriptedDecoder(count_up, batch_size=4)
    totals = run(make_engine(decoder, []), "a" * 10, max_tokens=3)
    # Three steps for ten tokens at four a step, of which the last gives the first token; two more for the other two.
    assert totals == Totals(steps=5, sequences=5, prefill_tokens=10, decode_tokens=3)


def test_the_token_that_ends_an_answer_is_no_more_counted_than_in_the_usage_of_the_request() -> None:
    events: list[Event] = []
    totals = run(make_engine(ScriptedDecoder(answer_with("abc", "hi")), events), "hi")
    (usage,) = [event.usage for event in events if isinstance(event, Finished)]
    assert (totals.prefill_tokens, totals.decode_tokens) == (usage.prompt_tokens, usage.completion_tokens) == (2, 3)


def test_the_batch_size_is_the_mean_of_the_steps() -> None:
    totals = run(make_engine(ScriptedDecoder(count_up), []), "a", "b", "c", max_tokens=4)
    assert (totals.steps, totals.sequences) == (4, 12)


def test_shared_tokens_are_counted_as_cached_and_not_as_computed() -> None:
    engine = make_engine(ScriptedDecoder(count_up, num_cells=200), [])
    beginning = "x" * MIN_SHARED
    first = run(engine, beginning + "a", max_tokens=1)
    second = run(engine, beginning + "b", max_tokens=1)
    assert (first.prefill_tokens, first.cached_tokens) == (MIN_SHARED + 1, 0)
    assert (second.prefill_tokens, second.cached_tokens) == (MIN_SHARED + 2, MIN_SHARED)


def test_a_preemption_is_counted_and_so_is_computing_the_prompt_again() -> None:
    events: list[Event] = []
    totals = run(make_engine(ScriptedDecoder(count_up, num_cells=24), events), "a" * 8, "b" * 8, max_tokens=8)
    assert totals.preemptions == 1
    assert totals.prefill_tokens == 3 * 8
    assert totals.decode_tokens == sum(event.usage.completion_tokens for event in events if isinstance(event, Finished))


def test_a_step_that_failed_has_done_nothing() -> None:
    decoder = ScriptedDecoder(count_up)
    decoder.fail_at = 0
    assert run(make_engine(decoder, []), "abc", max_tokens=4) == Totals()


def test_queue_and_cells_are_those_of_the_moment() -> None:
    engine = make_engine(ScriptedDecoder(count_up, num_cells=200, max_sequences=1), [])
    for name in "abc":
        engine.generate(Generate(name, name * MIN_SHARED, GREEDY, 8))
    engine.step()
    now = engine.statistics
    assert (now.num_waiting, now.num_running, now.num_kept) == (2, 1, 0)
    assert (now.num_cells, now.num_free_cells) == (200, 200 - 16)
    run(engine)
    now = engine.statistics
    assert (now.num_waiting, now.num_running) == (0, 0)
    # As many as there are slots; the last token of each was never computed.
    assert now.num_kept == 2
    assert now.num_free_cells == 200 - 2 * (MIN_SHARED + 7)


def test_totals_add_up_count_by_count() -> None:
    assert Totals(1, 2, 3, 4, 5, 6) + Totals(10, 20, 30, 40, 50, 60) == Totals(11, 22, 33, 44, 55, 66)
    assert EngineStatistics().totals == Totals()


def test_the_time_is_told_apart_by_what_it_went_to() -> None:
    class SlowDecoder(ScriptedDecoder):
        def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
            time.sleep(0.02)
            return super().forward(chunks, adapter)

    engine = make_engine(SlowDecoder(count_up), [])
    started = time.perf_counter()
    run(engine, "abc", max_tokens=4)
    seconds = time.perf_counter() - started
    spent = engine.statistics.spent
    assert spent.computing >= 4 * 0.02
    assert 0 < spent.tokenizing < 0.02
    assert 0 < spent.sampling < 0.02
    assert 0 < spent.detokenizing < 0.02
    assert spent.tokenizing + spent.computing + spent.sampling + spent.detokenizing <= seconds
