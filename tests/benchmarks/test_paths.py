"""The suite of the hot paths: it runs, and a path that became slower fails it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import reference
from tests.docs.render import REPOSITORY

BASELINES = REPOSITORY / "benchmarks" / "baseline"


class Machine:
    """One that takes so many seconds for the reference operation."""

    def __init__(self) -> None:
        self.clock = self.seconds = 0.0

    def work(self) -> float:
        self.clock += self.seconds
        return self.clock


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "benchmarks/bench_paths.py", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=150, cwd=REPOSITORY)


def test_a_second_is_as_many_reference_operations_on_a_slow_machine_as_on_a_fast_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine()
    monkeypatch.setattr(reference, "reference", machine.work)
    monkeypatch.setattr("benchmarks.reference.time.perf_counter", lambda: machine.clock)
    took = []
    for machine.seconds in (0.002, 0.0005):
        reference.calibrate()
        started = reference.now()
        for _ in range(10):
            machine.work()
        took.append(reference.now() - started)
    assert took == pytest.approx([10 * reference.NOMINAL_SECONDS] * 2)
    monkeypatch.undo()
    reference.calibrate()


def test_every_path_runs_and_has_a_baseline() -> None:
    done = run("--benchmark-disable", "-q")
    assert done.returncode == 0, done.stdout
    (baseline,) = BASELINES.glob("*/*_baseline.json")
    saved = json.loads(baseline.read_text(encoding="utf-8"))
    assert f"{len(saved['benchmarks'])} passed" in done.stdout
    assert os.uname().nodename not in json.dumps(saved["machine_info"]) or not saved["machine_info"]["node"]


def test_a_path_that_became_slower_than_its_baseline_fails_the_script(tmp_path: Path) -> None:
    (baseline,) = BASELINES.glob("*/*_baseline.json")
    saved = json.loads(baseline.read_text(encoding="utf-8"))
    for each in saved["benchmarks"]:
        each["stats"] |= {name: each["stats"][name] / 100 for name in ("min", "max", "mean", "median")}
    folder = tmp_path / baseline.parent.name
    folder.mkdir()
    (folder / baseline.name).write_text(json.dumps(saved), encoding="utf-8")
    done = subprocess.run(
        ["scripts/bench-paths", "-k", "encode_messages", f"--benchmark-storage=file://{tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        cwd=REPOSITORY,
        env={**os.environ, "VENV": str(Path(sys.executable).parents[1])},
    )
    assert done.returncode != 0
    assert "Performance has regressed" in done.stdout + done.stderr
