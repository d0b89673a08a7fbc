"""What cells that are kept for later requests cost the steps that do not need them.

llama.cpp's attention runs over all used cells of the cache that sequences share, and masks those of others. A plan that
holds many makes every step slower by some. `scripts/bench -k kept` runs this and prints the result.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import fingerprint
from runtime.backends.base import Chunk
from runtime.backends.llama.decoder import LlamaDecoder
from runtime.backends.llama.model import LlamaModel
from runtime.hardware.plan import Plan
from runtime.hardware.probe import probe
from runtime.models.store import Store

MODELS = ("gemma-3-270m", "smollm2-135m-instruct")
KEPT = (0, 4096, 8192)
RUNNING, BATCH, REPEATS = 8, 512, 15
RESULTS = Path(__file__).parent / "results"


@pytest.mark.timeout(900)
def test_kept_cells_cost_little(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """A kept prefix must be worth more than this where it is found again."""
    rows = benchmark.pedantic(lambda: {name: measured(name) for name in MODELS})  # type: ignore[no-untyped-call]  # pytest-benchmark's
    result = {
        "what": f"milliseconds; a step of {RUNNING} sequences, one token each, and a prompt of {BATCH} tokens at once",
        "models": rows,
        "machine": fingerprint(),
    }
    (RESULTS / "kept.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print(f"\n{json.dumps(rows, indent=2)}")


def measured(name: str) -> list[dict[str, float]]:
    """One model, beside more and more kept cells."""
    model = LlamaModel(Store().resolve(name).path)
    decoder = LlamaDecoder(model, _plan())
    try:
        rows, kept = [], 0
        for wanted in KEPT:
            while kept < wanted:
                fill(decoder, RUNNING + kept // 1024, 1024)
                kept += 1024
            rows.append({"kept_cells": kept, "step": _step(decoder), "prompt": _prompt(decoder)})
        return rows
    finally:
        decoder.close()
        model.close()


def fill(decoder: LlamaDecoder, slot: int, count: int) -> None:
    """Compute `count` tokens into an empty slot; which they are makes no difference to the time."""
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        decoder.forward([Chunk(slot, start, range(1000, 1000 + size), 1)])


def _step(decoder: LlamaDecoder) -> float:
    for slot in range(RUNNING):
        decoder.forget(slot)
        fill(decoder, slot, 64)
    position = iter(range(64, 64 + REPEATS))

    def step() -> None:
        at = next(position)
        decoder.forward([Chunk(slot, at, [1000], 1) for slot in range(RUNNING)])

    return _milliseconds(step, REPEATS)


def _prompt(decoder: LlamaDecoder) -> float:
    def prompt() -> None:
        for slot in range(RUNNING):
            decoder.forget(slot)
        fill(decoder, 0, BATCH)

    return _milliseconds(prompt, 3)


def _milliseconds(work: Callable[[], None], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds) * 1000, 2)


def _plan() -> Plan:
    threads = probe().usable_cores
    return Plan(
        threads=threads, threads_batch=threads, batch_size=BATCH, ubatch_size=BATCH, context_length=2048,
        num_cells=2 * KEPT[-1], max_sequences=RUNNING, gpu_layers=0, flash_attention=True, kv_type="f16", reasons={},
        estimated_bytes=0,
    )  # fmt: skip
