"""Start-up: `demotic --help`, and `demotic run` against a bare llama-cpp-python script that does the same.

Each run is a process of its own, as a person starts it. The two sides of the comparison alternate, so that a noisy
machine is noisy for both. `scripts/bench` runs this and prints the ratio.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import fingerprint
from runtime.models.store import Store

MODEL = "smollm2-135m-instruct"
PROMPT = "What is the capital of France? Answer in one sentence."
ROUNDS = 9
RESULTS = Path(__file__).parent / "results"

# What a careful person writes without us: load, render the chat template, greedy, stream to standard output.
BARE = """
import sys
from llama_cpp import Llama
model = Llama(sys.argv[1], n_ctx=1024, verbose=False)
messages = [{"role": "user", "content": sys.argv[2]}]
for chunk in model.create_chat_completion(messages, temperature=0, max_tokens=512, stream=True):
    sys.stdout.write(chunk["choices"][0]["delta"].get("content") or "")
    sys.stdout.flush()
"""


def seconds_of(command: list[str]) -> float:
    """Seconds from starting `command` to its exit."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - started


def test_help(benchmark: BenchmarkFixture) -> None:
    """`demotic --help`; the goal is under 0.4 s."""
    benchmark(seconds_of, [sys.executable, "-m", "demotic", "--help"])


@pytest.mark.benchmark(min_rounds=1, max_time=0)
def test_run_against_a_bare_script(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole one-sentence answer, from the shell and back; the goal is a ratio of at most 1.3."""
    path = str(Store().resolve(MODEL).path)
    sides: dict[str, list[str]] = {
        "demotic": [sys.executable, "-m", "demotic", "run", MODEL, PROMPT, "--temperature", "0"],
        "bare": [sys.executable, "-c", BARE, path, PROMPT],
    }
    measured = benchmark(alternate, sides, seconds_of)
    medians = {name: statistics.median(values) for name, values in measured.items()}
    result = {
        "what": f"seconds from process start to exit, {ROUNDS} alternations, medians",
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "ratio": round(medians["demotic"] / medians["bare"], 3),
        "all": {name: [round(value, 3) for value in values] for name, values in measured.items()},
        "machine": fingerprint(),
    }
    (RESULTS / "startup.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print(f"\ndemotic run / bare script: {result['ratio']} ({result['seconds']})")


def alternate(sides: dict[str, list[str]], measure: Callable[[list[str]], float]) -> dict[str, list[float]]:
    """Measure each side in turn, after one round that warms the disk cache and does not count."""
    rounds = [{name: measure(command) for name, command in sides.items()} for _ in range(ROUNDS + 1)]
    return {name: [one[name] for one in rounds[1:]] for name in sides}
