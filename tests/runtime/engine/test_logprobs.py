"""Logprobs are the model's own: exact, of every token, with its bytes, whatever else shapes the answer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.backends.base import Chunk
from runtime.backends.load import load_decoder
from runtime.config import EngineConfig
from runtime.engine.constraints import Constraint
from runtime.engine.engine import Engine
from runtime.engine.logprobs import token_logprob
from runtime.engine.messages import Delta, Event, Failed, Finished, Generate, TokenLogprob
from runtime.engine.sampling import SamplingParams
from runtime.hardware.plan import plan
from runtime.hardware.probe import probe
from runtime.models.inspect import read_header
from tests.fakes.decoder import END, ByteTokenizer, ScriptedDecoder
from tests.tiny.gguf import write_tiny_gguf


def reference(row: Any) -> Any:
    row = np.asarray(row, np.float64)
    return row - row.max() - np.log(np.exp(row - row.max()).sum())


def run(engine: Engine, events: list[Event], request: Generate) -> tuple[list[TokenLogprob], list[TokenLogprob], str]:
    """Logprobs of the prompt and of the answer, and the answer's text."""
    events.clear()
    engine.generate(request)
    while engine.has_work:
        engine.step()
    assert isinstance(events[-1], Finished), events[-1]
    deltas = [event for event in events if isinstance(event, Delta)]
    prompt = [logprob for delta in deltas if delta.is_prompt for logprob in delta.logprobs]
    answer = [logprob for delta in deltas if not delta.is_prompt for logprob in delta.logprobs]
    return prompt, answer, "".join(delta.text for delta in deltas)


def scripted(answer: str, prompt: str) -> tuple[Engine, list[Event], ScriptedDecoder]:
    events: list[Event] = []
    tokens = [byte + 1 for byte in answer.encode()] + [END]
    # Asked within the prompt and after wrong guesses, too: what it says there does not matter.
    decoder = ScriptedDecoder(lambda so_far: tokens[min(max(len(so_far) - len(prompt), 0), len(tokens) - 1)])
    return Engine(decoder, ByteTokenizer(), max_waiting=8, max_draft=15, emit=events.append), events, decoder


@pytest.mark.parametrize("size", [1, 2, 100, 257])
def test_a_logprob_is_the_log_of_the_softmax_and_rivals_come_in_order(size: int) -> None:
    row = np.random.default_rng(size).normal(0, 5, size).astype(np.float32)
    expected = reference(row)
    for token in (0, size // 2, size - 1):
        found = token_logprob(row, token, min(5, size), ByteTokenizer())
        assert found.logprob == pytest.approx(expected[token], abs=1e-5)
        assert [rival.token for rival in found.top] == list(np.argsort(-row, kind="stable")[:5])
        assert [rival.logprob for rival in found.top] == pytest.approx(sorted(expected, reverse=True)[:5], abs=1e-5)


def test_a_token_that_is_half_a_character_has_its_own_bytes() -> None:
    engine, events, _ = scripted("Жa", "hi")
    _, answer, text = run(engine, events, Generate("a", "hi", SamplingParams(temperature=0), logprobs=2))
    assert text == "Жa"
    assert [logprob.data for logprob in answer] == [b"\xd0", b"\x96", b"a"]
    assert all(len(logprob.top) == 2 and logprob.top[0].token == logprob.token for logprob in answer)


def test_penalties_bias_filters_and_temperature_leave_logprobs_alone() -> None:
    plain = SamplingParams(temperature=0)
    shaped = SamplingParams(
        temperature=0.3, top_k=1, logit_bias={ord("a") + 1: 5}, frequency_penalty=1, repetition_penalty=1.5, seed=1
    )
    told = []
    for params in (plain, shaped):
        engine, events, _ = scripted("aaaa", "hi")
        told.append(run(engine, events, Generate("a", "hi", params, logprobs=0))[1])
    assert told[0] == told[1]
    assert len(told[0]) == 4


def test_nothing_is_told_that_was_not_asked_for() -> None:
    engine, events, _ = scripted("aaaa", "hi")
    assert run(engine, events, Generate("a", "hi", SamplingParams()))[:2] == ([], [])


def test_with_a_constraint_every_token_is_computed_and_has_its_logprob() -> None:
    engine, events, decoder = scripted("yes", "hi")
    constraint = Constraint("choice", json.dumps(["yes, indeed"]))
    request = Generate("a", "hi", SamplingParams(temperature=0), logprobs=0, constraint=constraint)
    _, answer, text = run(engine, events, request)
    assert text == "yes, indeed"
    assert b"".join(logprob.data for logprob in answer) == b"yes, indeed"
    assert len(decoder.steps) == len("yes, indeed")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", context_length=512)


@pytest.mark.parametrize("max_tokens", [0, 3])
def test_logprobs_of_prompt_and_answer_are_those_of_the_model_also_over_several_steps(
    tiny: Path, max_tokens: int
) -> None:
    chosen = plan(probe(), read_header(tiny).shape(), EngineConfig(max_context=512))
    loaded, reader = (load_decoder(tiny, dataclasses.replace(chosen, flash_attention=False)) for _ in range(2))
    events: list[Event] = []
    engine = Engine(loaded.decoder, loaded.tokenizer, max_waiting=8, max_draft=15, emit=events.append)
    tokens = loaded.tokenizer.encode("the world and the working world " * 8, parse_special=False)
    assert len(tokens) > 40
    request = Generate("a", tuple(tokens), SamplingParams(temperature=0), max_tokens, logprobs=1, prompt_logprobs=True)
    try:
        # The second one meets the first one's cells, and must not share them: they have no logits.
        for _ in range(2):
            prompt, answer, _ = run(engine, events, request)
            whole = [*tokens, *(logprob.token for logprob in answer)]
            assert [logprob.token for logprob in prompt] == tokens
            assert prompt[0].logprob is None
            assert len(answer) == max_tokens
            rows = np.array(reader.decoder.forward([Chunk(0, 0, whole, num_logits=len(whole))]))
            reader.decoder.forget(0)
            for position, told in enumerate([*prompt[1:], *answer], start=1):
                assert told.logprob == pytest.approx(reference(rows[position - 1])[whole[position]], abs=1e-4)
                assert told.top[0].token == int(rows[position - 1].argmax())
    finally:
        loaded.close()
        reader.close()


def test_a_prompt_alone_is_answered_and_frees_its_cells() -> None:
    engine, events, decoder = scripted("x", "prompt")
    request = Generate("a", "prompt", SamplingParams(), 0, logprobs=0, prompt_logprobs=True)
    prompt, answer, text = run(engine, events, request)
    assert (len(prompt), answer, text) == (6, [], "")
    last = events[-1]
    assert isinstance(last, Finished) and last.reason == "length" and last.usage.completion_tokens == 0
    assert decoder.num_used == 0


def test_an_answer_of_no_tokens_is_refused_where_nothing_is_told_of_the_prompt() -> None:
    engine, events, _ = scripted("x", "prompt")
    engine.generate(Generate("a", "prompt", SamplingParams(), 0))
    assert isinstance(events[-1], Failed) and "at least 1" in str(events[-1].error)
