"""Masks: what it costs, for each token that a model samples, to leave only those that a JSON schema allows.

`scripts/bench -k mask` runs this and prints the result.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.compare_constrained import QUESTIONS, SCHEMA
from benchmarks.machine import fingerprint
from runtime.backends.base import Chunk
from runtime.backends.load import LoadedDecoder, load_decoder
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.engine.constraints import Constraint, ConstraintCompiler, restrict_rows
from runtime.engine.sampling import Sampler, SamplingParams
from runtime.hardware.probe import probe
from runtime.models.store import Store

MODEL = "gemma-3-270m"
WANTED_MS = 0.2
RESULTS = Path(__file__).parent / "results"


def test_the_mask_of_a_row(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """At most 0.2 ms for each token, as a median."""
    file = Store().resolve(MODEL)
    loaded = load_decoder(file.path, ModelCard.read(file).plan(probe(), EngineConfig(max_context=512)))
    compiler = ConstraintCompiler(loaded.tokenizer)
    found = benchmark.pedantic(lambda: [times(loaded, compiler, about) for about in QUESTIONS])  # type: ignore[no-untyped-call]  # pytest-benchmark's
    loaded.close()
    result = {
        "what": f"{MODEL}, greedy answers that fit a JSON schema of six keys; ms for each row of logits",
        "entries": loaded.decoder.vocabulary_size,
        "wanted_median_at_most": WANTED_MS,
        "beside_the_model": summary([beside for answer in found for beside, _ in answer]),
        "again": summary([again for answer in found for _, again in answer]),
        "machine": fingerprint(),
    }
    (RESULTS / "masks.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print(f"\nbeside the model: {result['beside_the_model']}; again: {result['again']}")


def times(loaded: LoadedDecoder, compiler: ConstraintCompiler, about: str) -> list[tuple[float, float]]:
    """Seconds for each token that the model chooses of one answer, and for the same mask computed once more.

    A step of the model leaves nothing of the grammar in the processor's caches; the second time it is there.
    """
    decoder, tokenizer, seconds = loaded.decoder, loaded.tokenizer, []
    matcher = compiler.compile(Constraint("json_schema", json.dumps(SCHEMA)))
    pending = tokenizer.encode(f"The request for {about} as JSON:\n", parse_special=False)
    position, sampler = 0, Sampler(SamplingParams(temperature=0), ())
    decoder.forget(0)
    while not matcher.is_complete:
        row = decoder.forward([Chunk(slot=0, position=position, tokens=pending, num_logits=1)])[0]
        position += len(pending)
        started = time.perf_counter()
        [allowed] = restrict_rows([(matcher, row)])
        between = time.perf_counter()
        restrict_rows([(matcher, row)])
        seconds.append((between - started, time.perf_counter() - between))
        token = sampler.sample(row, allowed)
        pending = [token, *matcher.accept(token)]
    return seconds


def summary(seconds: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    low, middle, high = np.percentile(np.array(seconds) * 1000, [5, 50, 95])
    return {
        "p5": round(float(low), 3),
        "median": round(float(middle), 3),
        "p95": round(float(high), 3),
        "rows": len(seconds),
    }
