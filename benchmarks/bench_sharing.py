"""Sharing the processors: generation speed of one `demotic run` alone, and of two at once.

Where threads wait for each other by spinning, two programs on the same cores bring each other to a standstill; the
figures show that they do not. `scripts/bench` runs this and prints the result.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import fingerprint

MODEL = "gemma-3-270m"
COMMAND = [sys.executable, "-m", "demotic", "run", MODEL, "Once upon a time", "--temperature", "0", "--json"]
ROUNDS = 5
RESULTS = Path(__file__).parent / "results"


def tokens_per_second(num_at_once: int) -> list[float]:
    """Start so many runs together; the speed that each of them made."""
    runs = [
        subprocess.Popen(
            [*COMMAND, "--max-tokens", "200"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(num_at_once)
    ]
    return [float(json.loads(run.communicate()[0])["tokens_per_second"]) for run in runs]


@pytest.mark.benchmark(min_rounds=1, max_time=0)
def test_two_runs_at_once(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """Both together should make about what one makes alone."""

    def alternate() -> tuple[list[float], list[list[float]]]:
        rounds = [(tokens_per_second(1)[0], tokens_per_second(2)) for _ in range(ROUNDS)]
        return [alone for alone, _ in rounds], [both for _, both in rounds]

    alone, both = benchmark(alternate)
    result = {
        "what": f"generated tokens/s of {MODEL}, 200 tokens, {ROUNDS} alternations, medians",
        "alone": statistics.median(alone),
        "two_at_once_each": statistics.median(speed for speeds in both for speed in speeds),
        "two_at_once_together": statistics.median(map(sum, both)),
        "all": {"alone": alone, "two_at_once": both},
        "machine": fingerprint(),
    }
    (RESULTS / "sharing.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print(f"\none alone: {result['alone']}; two at once, each: {result['two_at_once_each']} tokens/s")
