"""The script for machines with a card, tried on the processor with a stand-in for llama-server."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import compare_cuda
from benchmarks.compare_cuda import main
from tests.benchmarks.test_against import stand_in


def test_it_measures_speed_the_share_of_what_memory_allows_and_ratios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare_cuda, "PROMPT_TOKENS", (8,))
    server = stand_in(tmp_path, "llama-server")
    words = ["--models", "smollm2-135m-instruct", "--synthetic", "--devices", "cpu", "--batches", "1,2"]
    words += ["--clients", "1", "--output-tokens", "4", "--repetitions", "1", "--results", str(tmp_path)]
    assert main([*words, "--llama-server", str(server)]) == 0
    result = json.loads((tmp_path / "cuda.json").read_text(encoding="utf-8"))
    (share,) = result["shares"]
    assert (share["model"], share["device"], share["gpu_layers"]) == ("smollm2-135m-instruct", "cpu", 0)
    assert share["share"] == pytest.approx(
        share["tokens_per_second"] * share["bytes_per_step"] / share["bandwidth_bytes_per_second"], rel=1e-3
    )
    assert 0 < share["share"] < 1.5
    assert {job["batch"] for one in result["speed"]["models"] for job in one["jobs"]} == {1, 2}
    (ratio,) = result["ratios"]
    assert ratio["clients"] == 1 and ratio["ratio"] > 0
    page = (tmp_path / "cuda.md").read_text(encoding="utf-8")
    assert "| smollm2-135m-instruct | cpu |" in page and "demotic / llama-server" in page
    assert str(tmp_path) not in page + json.dumps(result["ratios"])
    assert sys.executable not in page
