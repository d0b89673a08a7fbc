"""Beam search over ONNX graphs finds what `generate` of transformers finds, with its scores, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from runtime.engine.beam_search import Beams
from runtime.engine.messages import Delta, Generate
from runtime.engine.rules import Rules
from runtime.engine.sampling import SamplingParams
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.writers import TEXTS, TRANSLATORS, Writer, make_writer

LENGTH = 14
# Tokens that end answers besides the model's own: random models seldom end by themselves.
MORE_ENDS = list(range(100, 380, 7))


@pytest.fixture(scope="module", params=TRANSLATORS)
def writer(request: pytest.FixtureRequest, sources: Sources) -> Iterator[Writer]:
    made = make_writer(sources, request.param)
    yield made
    made.loaded.close()


@pytest.fixture(scope="module")
def t5(sources: Sources) -> Iterator[Writer]:
    made = make_writer(sources, "t5")
    yield made
    made.loaded.close()


def searched(index: int, beams: Beams, **more: Any) -> Generate:
    sampling = SamplingParams(temperature=0.0, repetition_penalty=more.pop("repetition_penalty", 1.0))
    prompt = more.pop("prompt", None) or TEXTS[index]
    return Generate(f"r{index}", prompt, sampling, beams=beams, **more)


def with_ends(writer: Writer, monkeypatch: pytest.MonkeyPatch, more: Sequence[int] = MORE_ENDS) -> list[int]:
    """Let more tokens end answers, in the engine and in what it is held against."""
    ends = sorted({*writer.ends, *more})
    monkeypatch.setattr(writer.loaded.decoder.rows, "ends", tuple(ends))
    monkeypatch.setattr(type(writer.loaded.tokenizer), "is_end", lambda _self, token: token in ends)
    return ends


CASES: list[tuple[Beams, dict[str, Any], Rules]] = [
    (Beams(4, 3), {}, Rules()),
    (Beams(3, 2, 0.6, early_stopping=True), {"repetition_penalty": 1.3}, Rules(no_repeat_ngram_size=2)),
    (Beams(4, 3, 2.0, early_stopping="never"), {}, Rules(min_tokens=4, bad_words=((50,), (7, 8)))),
    (Beams(2, 2, -1.0), {"forced": True}, Rules(no_repeat_ngram_size=1, suppress=(60,), begin_suppress=(70,))),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_beams_find_what_transformers_finds(writer: Writer, case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    beams, more, rules = CASES[case]
    ends = with_ends(writer, monkeypatch)
    (start,) = writer.loaded.decoder.sources.start  # type: ignore[union-attr]
    marks = writer.card.header.settings.tokens  # type: ignore[union-attr]
    begin = (start, 17) if more.get("forced") else (start,)
    if isinstance(marks.forced_eos, int):
        rules = msgspec.structs.replace(rules, forced_eos=(marks.forced_eos,))
    wanted = writer.generate(
        TEXTS,
        num_beams=beams.num_beams,
        num_return_sequences=beams.num_answers,
        length_penalty=beams.length_penalty,
        early_stopping=beams.early_stopping,
        max_length=LENGTH,
        min_length=rules.min_tokens + 1,
        eos_token_id=ends,
        forced_bos_token_id=17 if more.get("forced") else None,
        no_repeat_ngram_size=rules.no_repeat_ngram_size,
        repetition_penalty=more.get("repetition_penalty", 1.0),
        bad_words_ids=[list(run) for run in rules.bad_words] or None,
        suppress_tokens=list(rules.suppress) or None,
        begin_suppress_tokens=list(rules.begin_suppress) or None,
    )
    penalty = {name: value for name, value in more.items() if name == "repetition_penalty"}
    requests = [
        searched(at, beams, max_tokens=LENGTH - len(begin), begin=begin, rules=rules, **penalty)
        for at in range(len(TEXTS))
    ]
    found = writer.run(requests)
    for request, answers in zip(requests, wanted, strict=True):
        deltas = [event for event in found[request.request_id] if isinstance(event, Delta)]
        texts = [writer.text_of(tokens[len(begin) - 1 :]) for tokens, _ in answers]
        assert [delta.text for delta in deltas] == texts
        scores = [delta.found.score for delta in deltas if delta.found is not None]
        assert scores == pytest.approx([score for _, score in answers], rel=1e-4, abs=1e-4)
