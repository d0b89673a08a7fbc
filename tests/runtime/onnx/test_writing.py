"""Greedy and drawn answers of ONNX encoder-decoders, through the scheduler that all models share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtime.backends.base import Chunk, Source
from runtime.engine.beam_search import Beams
from runtime.engine.messages import Abort, Delta, Failed, Finished, Generate
from runtime.engine.rules import Rules
from runtime.engine.sampling import SamplingParams
from runtime.errors import InferenceFailed, InvalidRequest
from tests.runtime.onnx.test_beams import with_ends
from tests.runtime.onnx.writers import TEXTS, TRANSLATORS, Writer, texts_of

GREEDY = SamplingParams(temperature=0.0)
LENGTH = 12


@pytest.fixture
def t5(writers: dict[str, Writer]) -> Writer:
    return writers["t5"]


def forced_end(writer: Writer) -> tuple[int, ...]:
    """The token that ends an answer at its longest, of a model that has one."""
    marks = writer.card.header.settings.tokens  # type: ignore[union-attr]
    return (marks.forced_eos,) if isinstance(marks.forced_eos, int) else ()


@pytest.mark.parametrize("name", TRANSLATORS)
def test_greedy_answers_are_those_of_transformers(name: str, writers: dict[str, Writer]) -> None:
    writer = writers[name]
    forced_eos = forced_end(writer)
    rules = Rules(no_repeat_ngram_size=2, min_tokens=3, bad_words=((50,),), forced_eos=forced_eos)
    wanted = writer.generate(
        TEXTS, num_beams=1, max_length=LENGTH + 1, min_length=4, no_repeat_ngram_size=2, repetition_penalty=1.4,
        bad_words_ids=[[50]],
    )  # fmt: skip
    sampling = SamplingParams(temperature=0.0, repetition_penalty=1.4)
    requests = [Generate(f"r{at}", text, sampling, max_tokens=LENGTH, rules=rules) for at, text in enumerate(TEXTS)]
    found = writer.run(requests)
    for request, ((tokens, _),) in zip(requests, wanted, strict=True):
        assert texts_of(found[request.request_id]) == [writer.text_of(tokens)]
        last = found[request.request_id][-1]
        assert isinstance(last, Finished)
        assert last.usage.completion_tokens == len(tokens)
        if forced_eos and len(tokens) == LENGTH - 1:
            assert last.reason == "length"


@pytest.mark.parametrize("name", ["t5", "mbart50"])
def test_a_greedy_answer_ends_at_any_of_several_tokens(
    name: str, writers: dict[str, Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = writers[name]
    usual = writer.generate(TEXTS, num_beams=1, max_length=LENGTH + 1)
    ends = with_ends(writer, monkeypatch, [usual[0][0][0][3], usual[1][0][0][5]])
    wanted = writer.generate(TEXTS, num_beams=1, max_length=LENGTH + 1, eos_token_id=ends)
    assert any(len(early[0][0]) < len(late[0][0]) for early, late in zip(wanted, usual, strict=True))
    rules = Rules(forced_eos=forced_end(writer))
    requests = [Generate(f"r{at}", text, GREEDY, max_tokens=LENGTH, rules=rules) for at, text in enumerate(TEXTS)]
    found = writer.run(requests)
    for request, ((tokens, _),) in zip(requests, wanted, strict=True):
        assert texts_of(found[request.request_id]) == [writer.text_of(tokens)]


def test_sequences_join_and_leave_without_changing_each_others_answers(t5: Writer) -> None:
    alone = [
        texts_of(t5.run([Generate("r", text, GREEDY, max_tokens=4 + 3 * at)])["r"]) for at, text in enumerate(TEXTS)
    ]
    t5.events.clear()
    for at, text in enumerate(TEXTS):
        t5.engine.generate(Generate(f"r{at}", text, GREEDY, max_tokens=4 + 3 * at))
        t5.engine.step()
        t5.engine.step()
    while t5.engine.has_work:
        t5.engine.step()
    assert [texts_of(t5.of(f"r{at}")) for at in range(len(TEXTS))] == alone


def test_beams_and_other_requests_run_side_by_side(t5: Writer) -> None:
    searched = Generate("b", TEXTS[0], GREEDY, max_tokens=6, beams=Beams(3, 2))
    greedy = Generate("g", TEXTS[1], GREEDY, max_tokens=6)
    apart = [texts_of(t5.run([request])[request.request_id]) for request in (searched, greedy)]
    together = t5.run([searched, greedy, Generate("c", TEXTS[2], GREEDY, max_tokens=9, beams=Beams(2))])
    assert [texts_of(together["b"]), texts_of(together["g"])] == apart
    assert len(texts_of(together["c"])) == 1


def test_beams_with_prefixes_of_different_lengths_are_one_batch(t5: Writer) -> None:
    requests = [
        Generate(f"r{at}", TEXTS[at], GREEDY, max_tokens=6, beams=Beams(2), prefix=prefix)
        for at, prefix in enumerate(("", "ба", "рибата е"))
    ]
    alone = [texts_of(t5.run([request])[request.request_id]) for request in requests]
    assert [texts[0].startswith(request.prefix) for texts, request in zip(alone, requests, strict=True)] == [True] * 3
    steps = t5.engine.statistics.totals.steps
    together = t5.run(requests)
    assert [texts_of(together[request.request_id]) for request in requests] == alone
    assert t5.engine.statistics.totals.steps - steps < 3 * 6


def test_a_source_is_read_once_whoever_joins(t5: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, read = t5.loaded.decoder, list[int]()
    original = decoder._encoder.run  # type: ignore[attr-defined]

    def run(outputs: Any, feeds: Any) -> Any:
        read.append(len(feeds["input_ids"]))
        return original(outputs, feeds)

    monkeypatch.setattr(decoder._encoder, "run", run)  # type: ignore[attr-defined]
    before = t5.engine.statistics.totals.prefill_tokens
    t5.engine.generate(Generate("a", TEXTS[0], GREEDY, max_tokens=8))
    t5.engine.step()
    t5.engine.generate(Generate("b", TEXTS[1], GREEDY, max_tokens=8))
    t5.engine.generate(Generate("c", TEXTS[1], GREEDY, max_tokens=8))
    while t5.engine.has_work:
        t5.engine.step()
    assert read == [1, 1]
    num_starts = 3
    assert t5.engine.statistics.totals.prefill_tokens - before == len(TEXTS[0]) + len(TEXTS[1]) + num_starts


@pytest.mark.parametrize("beams", [None, Beams(3)])
def test_an_aborted_request_leaves_at_the_next_step_and_the_others_stay(t5: Writer, beams: Beams | None) -> None:
    keeps = Generate("k", TEXTS[0], GREEDY, max_tokens=8, beams=beams)
    wanted = texts_of(t5.run([keeps])["k"])
    t5.events.clear()
    t5.engine.generate(Generate("gone", TEXTS[1], GREEDY, max_tokens=8, beams=beams))
    t5.engine.generate(keeps)
    t5.engine.step()
    t5.engine.step()
    t5.engine.abort(Abort("gone"))
    last = t5.of("gone")[-1]
    assert isinstance(last, Finished)
    assert last.reason == "cancelled"
    while t5.engine.has_work:
        t5.engine.step()
    assert texts_of(t5.of("k")) == wanted
    t5.engine.abort(Abort("gone"))
    t5.of("gone")


@pytest.mark.parametrize("part", ["_encoder", "_decoder"])
@pytest.mark.parametrize("beams", [None, Beams(2)])
def test_a_graph_that_fails_is_answered_once(
    t5: Writer, part: str, beams: Beams | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = getattr(t5.loaded.decoder, part)
    graph = found if part == "_encoder" else found.graph

    def run(_outputs: Any, _feeds: Any) -> Any:
        raise InferenceFailed("The graph failed.")

    with monkeypatch.context() as patch:
        patch.setattr(graph, "run", run)
        for event in t5.run([Generate("a", TEXTS[0], GREEDY, beams=beams)])["a"][-1:]:
            assert isinstance(event, Failed)
            assert "graph failed" in str(event.error)
    assert texts_of(t5.run([Generate("b", TEXTS[0], GREEDY, max_tokens=3, beams=beams)])["b"])[0]


def test_what_beams_cannot_do_is_refused_by_name(t5: Writer) -> None:
    for param, request in {
        "temperature": Generate("r", TEXTS[0], SamplingParams(temperature=0.5), beams=Beams(2)),
        "num_beams": Generate("r", TEXTS[0], GREEDY, beams=Beams(1000)),
        "n": Generate("r", TEXTS[0], GREEDY, beams=Beams(2, 3)),
        "logprobs": Generate("r", TEXTS[0], GREEDY, beams=Beams(2), logprobs=1),
        "max_tokens": Generate("r", TEXTS[0], GREEDY, beams=Beams(2), max_tokens=0),
        "prompt": Generate("r", TEXTS[0], GREEDY, beams=Beams(2), max_tokens=10**6),
    }.items():
        (event,) = t5.run([request])["r"]
        assert isinstance(event, Failed)
        assert isinstance(event.error, InvalidRequest)
        assert event.error.param == param


def test_stop_strings_and_lengths_hold_for_beams(t5: Writer) -> None:
    (whole,) = texts_of(t5.run([Generate("r", TEXTS[0], GREEDY, max_tokens=8, beams=Beams(2))])["r"])
    assert len(whole) > 3
    cut = t5.run([Generate("r", TEXTS[0], GREEDY, max_tokens=8, beams=Beams(2), stop=(whole[2],))])["r"]
    assert texts_of(cut) == [whole[: whole.index(whole[2])]]
    short = t5.run([Generate("r", TEXTS[0], GREEDY, max_tokens=8, beams=Beams(2), max_characters=2)])["r"]
    assert len(texts_of(short)[0]) <= 2
    assert [event.reason for event in short if isinstance(event, Finished)] == ["length"]


def test_rows_of_several_groups_go_on_together(t5: Writer) -> None:
    decoder = t5.loaded.decoder
    assert decoder.sources is not None
    sources = [Source(TEXTS[0], (0,)), Source(TEXTS[2], (1,))]

    def step(slots: tuple[int, ...], position: int, token: int) -> Any:
        return decoder.forward([Chunk(slot, position, (token,), 1) for slot in slots]).copy()

    decoder.sources.encode(sources)
    together = [step((0, 1), 0, 0), step((0, 1), 1, 9)]
    for slot in (0, 1):
        decoder.forget(slot)
    decoder.sources.encode(sources[1:])
    apart = step((1,), 0, 0)
    decoder.sources.encode(sources)
    np.testing.assert_allclose(step((0,), 0, 0)[0], together[0][0], atol=1e-4)
    np.testing.assert_allclose(apart[0], together[0][1], atol=1e-4)
    # In another order than they were encoded in.
    np.testing.assert_allclose(step((1, 0), 1, 9), together[1][::-1], atol=1e-4)
    for slot in (0, 1):
        decoder.forget(slot)
    with pytest.raises(InferenceFailed, match="no source"):
        step((0,), 0, 0)


def test_an_answer_that_is_drawn_is_the_same_for_the_same_seed(t5: Writer) -> None:
    asked = [
        Generate(f"r{seed}", TEXTS[0], SamplingParams(temperature=1.5, seed=seed), max_tokens=8) for seed in (1, 2)
    ]
    first, again = t5.run(asked), t5.run(asked)
    assert [texts_of(first[f"r{seed}"]) for seed in (1, 2)] == [texts_of(again[f"r{seed}"]) for seed in (1, 2)]
    assert texts_of(first["r1"]) != texts_of(first["r2"])
    assert all(isinstance(event, Delta | Finished) for event in t5.events)
