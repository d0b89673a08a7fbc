"""Guessing ahead: the answer is the one of single steps, and guessing rests where it does not pay."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.backends.load import load_decoder
from runtime.config import EngineConfig
from runtime.engine.engine import Engine
from runtime.engine.messages import Abort, Delta, Event, Finished, Generate, Usage
from runtime.engine.request import Sequence
from runtime.engine.sampling import SamplingParams
from runtime.engine.speculation import Outcome, PromptLookup, Speculation
from runtime.hardware.plan import plan
from runtime.hardware.probe import probe
from runtime.models.inspect import read_header
from tests.fakes.decoder import END, ByteTokenizer, ScriptedDecoder
from tests.tiny.gguf import write_tiny_gguf

GREEDY = SamplingParams(temperature=0)


def sequence_of(seed: int | None = None) -> Sequence:
    return Sequence(Generate("a", "abcabcabc", SamplingParams(seed=seed)), ByteTokenizer(), 1000)


def test_a_guess_is_what_followed_the_last_three_tokens_before() -> None:
    tokens = [1, 2, 3, 4, 5, 6, 1, 2, 3]
    lookup = PromptLookup(tokens)
    assert lookup.guess(2) == [4, 5]
    tokens += [7, 1, 2, 3]
    assert lookup.guess(2) == [7, 1], "the latest time counts"
    tokens += [8]
    assert lookup.guess(2) == []


def test_a_guess_that_must_be_surer_needs_more_tokens_in_common() -> None:
    assert PromptLookup([9, 1, 2, 3, 4, 8, 1, 2, 3]).guess(1, num_same=4) == []
    assert PromptLookup([9, 1, 2, 3, 4, 9, 1, 2, 3]).guess(1, num_same=4) == [4]
    assert PromptLookup([1, 2, 3, 1, 2, 3]).guess(1, num_same=4) == []


def test_guessing_begins_with_a_sure_one_and_goes_on_with_less() -> None:
    speculation = Speculation(max_draft=15)
    chance, copy = (
        Sequence(Generate("a", text, SamplingParams()), ByteTokenizer(), 1000)
        for text in ("abc, abc", "abcdef, abcdef")
    )
    observe_one(speculation, chance, 0, 0, 0.01)
    assert draft_one(speculation, chance) == []
    assert bytes(token - 1 for token in draft_one(speculation, copy)) == b", a"
    observe_one(speculation, copy, 3, 3, 0.012)
    copy.tokens += [byte + 1 for byte in b" - abc"]
    assert draft_one(speculation, copy), "three in common are enough now"


def test_a_guess_longer_than_what_is_known_goes_on_in_circles() -> None:
    assert PromptLookup([1, 2, 1, 2, 1, 2]).guess(5) == [1, 2, 1, 2, 1]


@pytest.mark.parametrize("tokens", [[], [1], [1, 2], [1, 2, 3]])
def test_a_short_text_gives_no_guess(tokens: list[int]) -> None:
    assert PromptLookup(tokens).guess(4) == []


def draft_one(speculation: Speculation, sequence: Sequence, room: int = 100) -> list[int]:
    return speculation.draft([sequence], room)[0]


def observe_one(speculation: Speculation, sequence: Sequence, drafted: int, accepted: int, seconds: float) -> None:
    speculation.observe([Outcome(sequence, drafted, accepted)], seconds)


def test_nothing_is_guessed_before_the_cost_of_a_step_is_known() -> None:
    speculation = Speculation(max_draft=15)
    sequence = sequence_of()
    assert draft_one(speculation, sequence) == []
    observe_one(speculation, sequence, 0, 0, 0.01)
    assert draft_one(speculation, sequence)
    assert draft_one(speculation, sequence, room=0) == []


def test_the_cost_is_learned_for_each_number_of_sequences() -> None:
    speculation = Speculation(max_draft=15)
    one, other = sequence_of(), sequence_of()
    observe_one(speculation, one, 0, 0, 0.01)
    assert speculation.draft([one, other], 100) == [[], []]
    speculation.observe([Outcome(one, 0, 0), Outcome(other, 0, 0)], 0.015)
    assert all(speculation.draft([one, other], 100))


def test_a_seeded_request_gets_no_guesses_and_repeats_exactly() -> None:
    speculation = Speculation(max_draft=15)
    seeded = sequence_of(seed=1)
    observe_one(speculation, seeded, 0, 0, 0.01)
    assert draft_one(speculation, seeded) == []


def test_right_guesses_make_longer_ones_up_to_the_limit() -> None:
    speculation = Speculation(max_draft=15)
    sequence, lengths = sequence_of(), []
    observe_one(speculation, sequence, 0, 0, 0.01)
    for _ in range(4):
        draft = draft_one(speculation, sequence)
        lengths.append(len(draft))
        observe_one(speculation, sequence, len(draft), len(draft), 0.012)
    assert lengths == [3, 7, 15, 15]


def test_guessing_rests_longer_each_time_it_does_not_pay() -> None:
    speculation = Speculation(max_draft=15)
    sequence, rests, rest = sequence_of(), [], 0
    observe_one(speculation, sequence, 0, 0, 0.01)
    for _ in range(200):
        draft = draft_one(speculation, sequence)
        if draft:
            rests.append(rest)
            rest = 0
            observe_one(speculation, sequence, len(draft), 0, 0.02)
        else:
            rest += 1
            observe_one(speculation, sequence, 0, 0, 0.01)
    assert rests[:5] == [0, 8, 16, 32, 64]


def test_guesses_that_are_right_but_slow_rest_as_well() -> None:
    speculation = Speculation(max_draft=15)
    sequence = sequence_of()
    observe_one(speculation, sequence, 0, 0, 0.01)
    assert len(draft_one(speculation, sequence)) == 3
    observe_one(speculation, sequence, 3, 3, 0.06)
    assert draft_one(speculation, sequence) == []


def test_each_sequence_rests_for_its_own_guesses() -> None:
    speculation = Speculation(max_draft=15)
    right, wrong = sequence_of(), sequence_of()
    speculation.observe([Outcome(right, 0, 0), Outcome(wrong, 0, 0)], 0.01)
    drafts = speculation.draft([right, wrong], 100)
    speculation.observe([Outcome(right, len(drafts[0]), len(drafts[0])), Outcome(wrong, len(drafts[1]), 0)], 0.015)
    after = speculation.draft([right, wrong], 100)
    assert after[0] and after[1] == []


@given(
    wishes=st.lists(st.integers(0, 15), min_size=1, max_size=8),
    room=st.integers(0, 40),
    max_draft=st.integers(0, 31),
    num_left=st.integers(1, 30),
)
def test_guesses_stay_within_their_bounds_and_fill_tiles(
    wishes: list[int], room: int, max_draft: int, num_left: int
) -> None:
    speculation = Speculation(max_draft)
    sequences = [sequence_of() for _ in wishes]
    speculation.observe([Outcome(sequence, 0, 0) for sequence in sequences], 0.01)
    for sequence in sequences:
        sequence.max_length = len(sequence.tokens) + num_left
    counts = [len(draft) for draft in speculation.draft(sequences, room)]
    assert sum(counts) <= min(room, max_draft)
    assert all(count < num_left for count in counts), "the step's own token is one of those left"
    if any(counts) and num_left > 8:
        assert (len(counts) + sum(counts)) % 4 == 0


@pytest.mark.parametrize(("num_sequences", "num_guessed"), [(8, 32), (9, 0)])
def test_eight_sequences_share_the_guesses_and_more_get_none(num_sequences: int, num_guessed: int) -> None:
    speculation = Speculation(max_draft=32)
    sequences = [sequence_of() for _ in range(num_sequences)]
    for _ in range(3):
        drafts = speculation.draft(sequences, 100)
        outcomes = [Outcome(one, len(draft), len(draft)) for one, draft in zip(sequences, drafts, strict=True)]
        speculation.observe(outcomes, 0.01)
    assert sum(map(len, speculation.draft(sequences, 100))) == num_guessed


class Desk:
    def __init__(self, decoder: ScriptedDecoder, max_draft: int) -> None:
        self.events: list[Event] = []
        self.engine = Engine(decoder, ByteTokenizer(), max_waiting=8, max_draft=max_draft, emit=self.events.append)

    def answer(self, prompt: str, max_tokens: int | None, stop: tuple[str, ...] = ()) -> tuple[str, str, Usage]:
        self.events.clear()
        self.engine.generate(Generate("a", prompt, GREEDY, max_tokens, stop))
        while self.engine.has_work:
            self.engine.step()
        last = self.events[-1]
        assert isinstance(last, Finished)
        return "".join(event.text for event in self.events if isinstance(event, Delta)), last.reason, last.usage


def script(answer: str, prompt: str) -> ScriptedDecoder:
    tokens = [byte + 1 for byte in answer.encode()] + [END]
    length = len(prompt.encode())
    # What follows a wrong guess does not matter; it must only not be out of range.
    return ScriptedDecoder(
        lambda so_far: tokens[min(len(so_far) - length, len(tokens) - 1)],
        context_length=400,
        num_cells=400,
        batch_size=32,
    )


@settings(max_examples=150, deadline=None)
@given(
    prompt=st.text("ab ", min_size=1, max_size=30),
    answer=st.text("ab ñ", max_size=60),
    max_tokens=st.none() | st.integers(1, 60),
    stop=st.sampled_from([(), ("bab",), ("aaa", "b b")]),
)
def test_answers_are_the_same_with_and_without_guesses(
    prompt: str, answer: str, max_tokens: int | None, stop: tuple[str, ...]
) -> None:
    with_guesses, without = script(answer, prompt), script(answer, prompt)
    guessed = Desk(with_guesses, 15).answer(prompt, max_tokens, stop)
    plain = Desk(without, 0).answer(prompt, max_tokens, stop)
    assert guessed[:2] == plain[:2]
    assert guessed[2].completion_tokens == plain[2].completion_tokens
    assert plain[2].drafted_tokens == 0
    assert with_guesses.num_used in {without.num_used, without.num_used - 1}, "wrong guesses leave no cells behind"


def test_an_answer_that_repeats_its_prompt_takes_fewer_steps() -> None:
    prompt = "The quick brown fox jumps over the lazy dog. "
    answer = prompt * 3
    decoder = script(answer, prompt)
    text, _, usage = Desk(decoder, 15).answer(prompt, None)
    assert text == answer
    assert len(decoder.steps) < len(answer) / 2
    assert usage.drafted_tokens >= usage.accepted_tokens > len(answer) / 2


def test_requests_that_run_together_are_guessed_for_together() -> None:
    decoder = ScriptedDecoder(lambda tokens: 1 + len(tokens) % 3, context_length=100, num_cells=300)
    events: list[Event] = []
    engine = Engine(decoder, ByteTokenizer(), max_waiting=8, max_draft=15, emit=events.append)
    for name in ("a", "b"):
        engine.generate(Generate(name, name * 4, GREEDY, 30))
    while engine.has_work:
        engine.step()
    assert any(min(len(chunk.tokens) for chunk in step) > 1 for step in decoder.steps[1:] if len(step) == 2)
    for name in ("a", "b"):
        text = "".join(event.text for event in events if isinstance(event, Delta) and event.request_id == name)
        assert text.encode() == bytes(length % 3 for length in range(4, 34)), "as single steps give it"
    accepted = [event.usage.accepted_tokens for event in events if isinstance(event, Finished)]
    assert min(accepted) > 10


def test_nothing_is_guessed_while_another_request_reads_its_prompt() -> None:
    decoder = ScriptedDecoder(
        lambda tokens: 1 + len(tokens) % 3, context_length=100, num_cells=300, batch_size=8, max_sequences=2
    )
    engine = Engine(decoder, ByteTokenizer(), max_waiting=8, max_draft=15, emit=lambda _: None)
    engine.generate(Generate("a", "abc", GREEDY, 60))
    for _ in range(10):
        engine.step()
    num_before = len(decoder.steps)
    engine.generate(Generate("b", "b" * 40, GREEDY, 1))
    for _ in range(5):
        engine.step()
    for first, prompt in (step for step in decoder.steps[num_before:] if len(step) == 2):
        assert (len(first.tokens), len(prompt.tokens)) == (1, 7)


def test_a_request_taken_back_between_guesses_leaves_no_cell() -> None:
    decoder = script("abcabcabcabcabcabcabcabcabc", "abcabc")
    events: list[Event] = []
    engine = Engine(decoder, ByteTokenizer(), max_waiting=8, max_draft=15, emit=events.append)
    engine.generate(Generate("a", "abcabc", GREEDY))
    for _ in range(3):
        engine.step()
    engine.abort(Abort("a"))
    assert decoder.num_used == 0


def test_greedy_answers_of_a_float32_model_are_the_same_with_and_without_guesses(tmp_path: Path) -> None:
    tiny = write_tiny_gguf(tmp_path / "tiny.gguf", context_length=1024)
    chosen = plan(probe(), read_header(tiny).shape(), EngineConfig(max_context=1024))
    # Not flash attention, which keeps float16 in between: equal means equal here.
    chosen = dataclasses.replace(chosen, flash_attention=False)
    prompts = ["the world and the working world", "in the ring", "abc def abc def abc", "wor" * 20, "Здравей, свят"]
    texts: dict[int, list[str]] = {}
    for max_draft in (0, 15):
        loaded = load_decoder(tiny, chosen)
        events: list[Event] = []
        engine = Engine(loaded.decoder, loaded.tokenizer, max_waiting=8, max_draft=max_draft, emit=events.append)
        for prompt in prompts:
            engine.generate(Generate(prompt, prompt, GREEDY, 200))
            while engine.has_work:
                engine.step()
        loaded.close()
        texts[max_draft] = [
            "".join(e.text for e in events if isinstance(e, Delta) and e.request_id == prompt) for prompt in prompts
        ]
        accepted = sum(e.usage.accepted_tokens for e in events if isinstance(e, Finished))
        assert (accepted > 0) == (max_draft > 0)
    assert texts[0] == texts[15]
