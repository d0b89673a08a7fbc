"""The comparison with llama-bench, against a stand-in for that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import compare_llama_bench
from benchmarks.compare_llama_bench import bench_theirs, generate, main
from runtime.errors import DemoticError
from runtime.model import Model


def stand_in(folder: Path, body: str) -> Path:
    """A program that takes llama-bench's command line."""
    script = folder / "llama-bench"
    script.write_text(f'#!/bin/sh\necho "$@" > {folder}/arguments\n{body}\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def test_the_parts_of_a_token_are_its_whole(smollm2: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_llama_bench, "LENGTH", 24)
    one = generate(smollm2, 7001)
    assert one.computing + one.costs == pytest.approx(one.seconds)
    assert 0 < one.sampling < one.computing
    assert 0 < one.detokenizing < one.computing
    assert 0 < one.engine < one.computing
    assert one.tokenizing > 0


def test_what_llama_bench_leaves_out_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare_llama_bench, "LENGTH", 24)
    # 24 tokens in 24 s: one second a token.
    samples = '[{"samples_ns": [24000000000, 24000000000], "build_commit": "abc", "backends": "CPU"}]'
    program, result = stand_in(tmp_path, f"echo '{samples}'"), tmp_path / "result.json"
    words = ["--llama-bench", str(program), "--model", "smollm2-135m-instruct", "--threads", "1", "--alternations", "2"]
    assert main([*words, "--result", str(result)]) == 1
    arguments = (tmp_path / "arguments").read_text()
    assert "-p 0 -n 24 -d 16 -t 1 " in arguments
    (model,) = json.loads(result.read_text(encoding="utf-8"))["models"]
    parts = model["demotic"]["seconds_per_token"]
    assert model["llama_bench"]["tokens_per_second"] == [1, 1]
    assert model["seconds_per_token_with_costs"] == pytest.approx(1 + parts["costs"], rel=1e-4)
    own = model["demotic"]["tokens_per_second"]
    for agreement, rate in zip(model["agreements"], own, strict=True):
        assert agreement == pytest.approx((1 + parts["costs"]) * rate, rel=0.01)
    assert model["is_met"] is False
    assert model["llama_bench_build"]["build_commit"] == "abc"
    assert "| no |" in capsys.readouterr().out


def test_a_llama_bench_that_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(DemoticError, match="no such model"):
        bench_theirs(stand_in(tmp_path, "echo no such model >&2; exit 1"), tmp_path / "m.gguf", 1)
