"""Prefixes: time to the first token of a long prompt, computed, shared in memory, and restored from disk.

Each round has two worker processes, one after the other, over a new folder of saved prefixes. Before the second reads
them, the files are put out of the system's page cache. `scripts/bench` runs this and prints the result.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import fingerprint
from runtime.config import EngineConfig
from runtime.engine.client import stream
from runtime.engine.loader import WorkerLoader
from runtime.engine.messages import Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.model import Model
from runtime.models.store import Store

MODEL = "gemma-3-270m"
NUM_TOKENS = 2000
ROUNDS = 5
RESULTS = Path(__file__).parent / "results"
PASSAGE = "The river rose in the night, and by morning the lower fields were under water. "


@pytest.mark.timeout(600)
def test_the_first_token_of_a_long_prompt(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """From disk it should come much nearer to memory than to computing."""
    # Once: the rounds are in it.
    rounds: list[dict[str, float]] = benchmark.pedantic(lambda: [one_round() for _ in range(ROUNDS)])  # type: ignore[no-untyped-call]  # pytest-benchmark's
    medians = {name: round(statistics.median(one[name] for one in rounds), 4) for name in rounds[0]}
    result = {
        "what": f"{MODEL}, a prompt of {NUM_TOKENS} tokens, {ROUNDS} rounds, medians; times in seconds",
        **medians,
        "all": rounds,
        "machine": fingerprint(),
    }
    (RESULTS / "prefixes.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print(f"\n{medians}")


def one_round() -> dict[str, float]:
    """One of each, in the order in which a user would meet them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with worker(folder) as model:
            tokens = model.tokenize(PASSAGE * NUM_TOKENS)[:NUM_TOKENS]
            computed = first_token(model, tokens)
            shared = first_token(model, tokens)
            closing = time.perf_counter()
        closed = time.perf_counter()
        files = list(folder.glob("*/*.kv"))
        num_bytes = sum(path.stat().st_size for path in files)
        for path in files:
            forget_pages(path)
        with worker(folder) as model:
            restored = first_token(model, tokens)
    return {
        "computed": computed.timings.first_token,
        "shared": shared.timings.first_token,
        "restored": restored.timings.first_token,
        "restored_tokens": restored.usage.cached_tokens,
        "closing": closed - closing,
        "bytes_per_token": num_bytes / (restored.usage.cached_tokens or 1),
    }


@contextmanager
def worker(folder: Path) -> Iterator[Model]:
    """The model in a process of its own, its weights read once."""
    loader = WorkerLoader({MODEL: Store().resolve(MODEL)}, EngineConfig(), prefix_dir=folder)
    card = loader.read(MODEL)
    model = loader.start(card, loader.plan(card), lambda _share: True)
    first_token(model, [2, 5, 6, 7])
    yield model
    model.close()


def first_token(model: Model, tokens: list[int]) -> Finished:
    """What a request for one token tells."""
    request = Generate("a", tuple(tokens), SamplingParams(temperature=0), max_tokens=1)
    return next(event for event in stream(model.client, request) if isinstance(event, Finished))


def forget_pages(path: Path) -> None:
    """Have the next reading of a file come from the disk, where the system allows it."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
