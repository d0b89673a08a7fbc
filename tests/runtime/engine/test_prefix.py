"""Requests that begin alike share what is computed, and their answers are what they would be alone."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.backends.base import Chunk
from runtime.backends.load import load_decoder
from runtime.config import EngineConfig
from runtime.engine.engine import Engine
from runtime.engine.messages import Abort, Delta, Event, Finished, Generate
from runtime.engine.prefix import MIN_SHARED, KVCache, common_prefix
from runtime.engine.sampling import SamplingParams
from runtime.hardware.plan import plan
from runtime.hardware.probe import probe
from runtime.models.inspect import read_header
from tests.fakes.decoder import ByteTokenizer, ScriptedDecoder
from tests.tiny.gguf import write_tiny_gguf

GREEDY = SamplingParams(temperature=0)
SHARED = "The same beginning of many requests, long enough to be worth it. "


def count_up(tokens: list[int]) -> int:
    return tokens[-1] % 256 + 1


class Desk:
    def __init__(self, decoder: ScriptedDecoder, max_waiting: int = 64) -> None:
        self.decoder = decoder
        self.events: list[Event] = []
        self.engine = Engine(decoder, ByteTokenizer(), max_waiting=max_waiting, emit=self.events.append)

    def ask(self, name: str, prompt: str, max_tokens: int = 3) -> None:
        self.engine.generate(Generate(name, prompt, GREEDY, max_tokens))

    def run(self) -> None:
        while self.engine.has_work:
            self.engine.step()

    def text(self, name: str) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Delta) and event.request_id == name)

    def cached(self, name: str) -> int:
        (event,) = [event for event in self.events if isinstance(event, Finished) and event.request_id == name]
        return event.usage.cached_tokens

    @property
    def num_computed(self) -> int:
        return sum(len(chunk.tokens) for step in self.decoder.steps for chunk in step)


def decoder_of(num_cells: int = 1000, **sizes: int) -> ScriptedDecoder:
    return ScriptedDecoder(count_up, **({"context_length": 300, "batch_size": 64} | sizes), num_cells=num_cells)


def test_what_a_finished_request_computed_is_not_computed_again() -> None:
    desk = Desk(decoder_of())
    desk.ask("first", SHARED + "a")
    desk.run()
    before = desk.num_computed
    desk.ask("second", SHARED + "b")
    desk.run()
    assert desk.text("second") == "cde"
    assert desk.cached("first") == 0
    assert desk.cached("second") == len(SHARED)
    assert desk.num_computed - before == 1 + 2


def test_the_same_prompt_again_computes_its_last_token_only() -> None:
    desk = Desk(decoder_of())
    for name in ("first", "second"):
        desk.ask(name, SHARED)
        desk.run()
    assert desk.text("first") == desk.text("second")
    assert desk.cached("second") == len(SHARED) - 1


def test_requests_at_the_same_time_wait_for_the_one_that_reads_their_beginning() -> None:
    desk = Desk(decoder_of(batch_size=16, max_sequences=8))
    for letter in "abcdefgh":
        desk.ask(letter, SHARED + letter)
    desk.run()
    assert [desk.text(letter) for letter in "abcdefgh"] == [
        "".join(chr(ord(letter) + step) for step in (1, 2, 3)) for letter in "abcdefgh"
    ]
    assert desk.num_computed == len(SHARED) + 8 * 3
    assert sorted(desk.cached(letter) for letter in "abcdefgh") == [0] + [len(SHARED)] * 7


def test_the_same_short_prompt_at_the_same_time_is_computed_once() -> None:
    desk = Desk(decoder_of())
    for name in "abcd":
        desk.ask(name, "short")
    desk.run()
    assert {desk.text(name) for name in "abcd"} == {"uvw"}
    # The prompt once; of each other request its last token, whose logits it needs; and two tokens more for each.
    assert desk.num_computed == len("short") + 3 + 4 * 2
    assert sorted(desk.cached(name) for name in "abcd") == [0] + [len("shor")] * 3


def test_prompts_of_one_token_do_not_wait_for_each_other() -> None:
    desk = Desk(decoder_of())
    for name in "abcd":
        desk.ask(name, "x")
    desk.run()
    assert {desk.text(name) for name in "abcd"} == {"yz{"}


def test_a_request_that_begins_otherwise_passes_those_that_wait() -> None:
    desk = Desk(decoder_of(batch_size=16))
    desk.ask("a", SHARED + "a")
    desk.engine.step()
    desk.ask("b", SHARED + "b")
    desk.ask("other", "Another beginning: x", max_tokens=1)
    while not desk.text("other"):
        desk.engine.step()
    assert not desk.text("b")
    desk.run()
    assert desk.text("b") == "cde"


def test_a_short_common_beginning_is_not_shared() -> None:
    desk = Desk(decoder_of())
    for name in ("first", "second"):
        desk.ask(name, SHARED[: MIN_SHARED - 1] + name)
        desk.run()
    assert desk.cached("second") == 0


def test_kept_sequences_go_when_their_cells_are_needed_the_least_recently_used_first() -> None:
    desk = Desk(decoder_of(num_cells=300, context_length=300))
    prompts = {name: f"{name * 20} a beginning of its own, forty and more letters {name}" for name in "xyz"}
    for name, prompt in prompts.items():
        desk.ask(name, prompt)
        desk.run()
    desk.ask("x again", prompts["x"])
    desk.run()
    assert desk.cached("x again") > MIN_SHARED
    desk.ask("big", "b" * 120)
    desk.run()
    desk.ask("y again", prompts["y"])
    desk.ask("x once more", prompts["x"])
    desk.run()
    assert desk.cached("y again") == 0
    assert desk.cached("x once more") > MIN_SHARED


def test_a_conversation_keeps_one_sequence_and_reads_only_what_is_new() -> None:
    desk = Desk(decoder_of())
    prompt = SHARED
    for turn in range(4):
        desk.ask(f"turn {turn}", prompt)
        desk.run()
        answer = desk.text(f"turn {turn}")
        # The last token of an answer is given out, but never computed.
        assert desk.cached(f"turn {turn}") == (0 if turn == 0 else len(prompt) - len(" And then?") - 1)
        prompt += answer + " And then?"
    assert desk.engine.num_kept == 1


def test_a_request_cancelled_in_mid_prompt_leaves_what_it_has_read_to_the_next() -> None:
    desk = Desk(decoder_of(batch_size=48))
    desk.ask("left", SHARED + "a")
    desk.engine.step()
    desk.engine.abort(Abort("left"))
    desk.ask("next", SHARED + "b")
    desk.run()
    assert desk.cached("next") == 48
    assert desk.text("next") == "cde"


def test_what_a_failed_step_left_behind_is_never_shared() -> None:
    decoder = decoder_of()
    decoder.fail_at = 1
    desk = Desk(decoder)
    desk.ask("failed", SHARED + "a")
    desk.run()
    desk.ask("next", SHARED + "b")
    desk.run()
    assert desk.cached("next") == 0
    assert desk.text("next") == "cde"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(120, 400), st.integers(1, 6), st.integers(4, 64))
def test_whatever_comes_and_goes_every_answer_is_right_and_no_cell_is_lost(
    seed: int, num_cells: int, max_sequences: int, batch_size: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # a test that can be repeated
    beginnings = [SHARED, SHARED[:40] + "but then otherwise, for a good while. ", "z" * 50, ""]
    decoder = decoder_of(num_cells, context_length=120, max_sequences=max_sequences, batch_size=max(batch_size, 8))
    desk = Desk(decoder)
    asked: dict[str, str] = {}
    aborted = set()
    for number in range(30):
        name = str(number)
        prompt = chance.choice(beginnings) + chance.choice("abcde") * chance.randint(1, 9)
        asked[name] = prompt
        desk.ask(name, prompt, max_tokens=chance.randint(1, 12))
        for _ in range(chance.randint(0, 6)):
            if desk.engine.has_work:
                desk.engine.step()
        if chance.random() < 0.2:
            aborted.add(name)
            desk.engine.abort(Abort(name))
    desk.run()
    for name, prompt in asked.items():
        text = desk.text(name)
        assert text == "".join(chr(ord(prompt[-1]) + step) for step in range(1, len(text) + 1))
        assert text or name in aborted
    kept = KVCacheView(desk)
    assert decoder.num_used + kept.num_free_cells == decoder.num_cells


class KVCacheView:
    """What the engine believes of its cache."""

    def __init__(self, desk: Desk) -> None:
        self.num_free_cells = desk.engine._scheduler.cache.num_free_cells


@given(st.lists(st.integers(0, 1), max_size=80), st.lists(st.integers(0, 1), max_size=80))
def test_the_common_prefix_is_the_longest_one(one: list[int], other: list[int]) -> None:
    length = common_prefix(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]


def test_slots_run_out_before_cells_and_the_oldest_kept_one_makes_way() -> None:
    decoder = decoder_of(max_sequences=2)
    cache = KVCache(decoder)
    for first in range(4):
        slot, _ = cache.open(None, None)
        tokens = [first] * MIN_SHARED
        decoder.forward([Chunk(slot, 0, tokens, num_logits=0)])
        cache.extend(slot, tokens)
        cache.keep(slot)
    assert cache.num_kept == 4
    cache.open(None, None)
    assert cache.match([0] * 99, None) is None
    assert cache.match([1] * 99, None) is not None


def test_cells_of_one_adapter_are_no_match_for_another() -> None:
    decoder = decoder_of(max_sequences=2)
    decoder.attach("dialect", Path("dialect.gguf"))
    cache = KVCache(decoder)
    tokens = [1] * MIN_SHARED
    for adapter in ("dialect", None):
        slot, _ = cache.open(None, adapter)
        decoder.forward([Chunk(slot, 0, tokens, num_logits=0)], adapter)
        cache.extend(slot, tokens)
        cache.keep(slot)
    assert cache.num_kept == 2
    assert cache.match([1] * 99, None) != cache.match([1] * 99, "dialect")
    assert cache.match([1] * 99, "other") is None


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", context_length=512)


def test_on_a_real_float32_model_answers_are_the_same_with_and_without_sharing(tiny: Path) -> None:
    chosen = plan(probe(), read_header(tiny).shape(), EngineConfig(max_context=512, batch_size=64))
    chosen = dataclasses.replace(chosen, max_sequences=4, num_cells=2048, flash_attention=False)
    prompts = [SHARED + ending for ending in ("one", "two", "three and more", "four")]

    def answers(*, together: bool) -> list[list[str]]:
        texts = []
        for group in [prompts] if together else [[prompt] for prompt in prompts]:
            loaded = load_decoder(tiny, chosen)
            events: list[Event] = []
            engine = Engine(loaded.decoder, loaded.tokenizer, max_waiting=8, emit=events.append)
            for prompt in group:
                engine.generate(Generate(prompt, prompt, GREEDY, 24))
            while engine.has_work:
                engine.step()
            texts += [[e.text for e in events if isinstance(e, Delta) and e.request_id == prompt] for prompt in group]
            shared = [e.usage.cached_tokens for e in events if isinstance(e, Finished)]
            assert (max(shared) > MIN_SHARED) == together
            loaded.close()
        return texts

    assert answers(together=True) == answers(together=False)


def test_on_a_quantized_model_logits_after_a_shared_prefix_stay_close(gemma_path: Path) -> None:
    chosen = plan(probe(), read_header(gemma_path).shape(), EngineConfig(max_context=512))
    loaded = load_decoder(gemma_path, dataclasses.replace(chosen, max_sequences=2))
    tokens = loaded.tokenizer.encode(SHARED * 3 + "The end", parse_special=False)
    decoder = loaded.decoder
    try:
        whole = np.array(decoder.forward([Chunk(0, 0, tokens, num_logits=1)])[0], np.float64)
        decoder.share(0, 1, len(tokens) - 2)
        shared = np.array(decoder.forward([Chunk(1, len(tokens) - 2, tokens[-2:], num_logits=1)])[0], np.float64)
    finally:
        loaded.close()
    log_whole, log_shared = (row - row.max() - np.log(np.exp(row - row.max()).sum()) for row in (whole, shared))
    assert float((np.exp(log_whole) * (log_whole - log_shared)).sum()) < 0.05
