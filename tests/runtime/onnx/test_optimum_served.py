"""Folders that optimum exported write through the engine what transformers wrote with their models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.engine.messages import Generate
from runtime.engine.rules import Rules
from runtime.engine.sampling import SamplingParams
from tests.runtime.onnx.writers import Writer, texts_of

GREEDY = SamplingParams(temperature=0.0)
HERE = Path(__file__).parent / "optimum"


@pytest.fixture(scope="module", params=["t5-merged", "t5-split", "mbart50", "llama"])
def writer(request: pytest.FixtureRequest) -> Iterator[Writer]:
    made = Writer(request.param, HERE / request.param, HERE / request.param)
    yield made
    made.loaded.close()


def test_greedy_answers_are_those_of_transformers(writer: Writer) -> None:
    wanted: dict[str, Any] = json.loads((writer.path / "reference.json").read_text(encoding="utf-8"))
    settings = writer.card.header.settings  # type: ignore[union-attr]
    begin = (settings.tokens.decoder_start or 0, settings.languages.codes["sw_KE"]) if settings.languages else ()
    requests, answers = [], []
    for number, (ids, written) in enumerate(zip(wanted["ids"], wanted["greedy"], strict=True)):
        rest = written[len(ids) if settings.shape == "decoder" else len(begin or (0,)) :]
        # The reference was written without an end.
        rules = Rules(min_tokens=len(rest))
        requests.append(Generate(f"{number}", tuple(ids), GREEDY, max_tokens=len(rest), begin=begin, rules=rules))
        answers.append(writer.text_of(rest).lstrip())
    found = writer.run(requests)
    assert [texts_of(found[request.request_id])[0].lstrip() for request in requests] == answers
    assert all(answers)
