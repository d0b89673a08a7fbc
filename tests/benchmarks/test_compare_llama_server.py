"""The comparison with llama-server, against a stand-in for that."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from benchmarks.compare_llama_server import main
from benchmarks.scenarios import scenarios
from tests.docs.render import REPOSITORY


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A program that takes llama-server's command line and answers with known delays."""
    script = tmp_path / "llama-server"
    script.write_text(
        f"#!/bin/sh\ncd '{REPOSITORY}' && exec '{sys.executable}' -m tests.benchmarks.endpoint \"$@\"\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return script


def test_both_servers_run_all_scenarios_and_the_ratios_are_saved(
    stand_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--llama-server", str(stand_in), "--model", "smollm2-135m-instruct", "--context", "1024"]
    assert main([*words, "--alternations", "1", "--scale", "0.02", "--results", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "llama-server.json").read_text(encoding="utf-8"))
    assert [row["figure"] for row in result["rows"]] == [
        *["throughput", "CPU time of the server"] * 4,
        "worst TTFT",
        "p95 of ITL while it is read",
    ]
    for row in result["rows"]:
        assert row["demotic"]["failed_requests"] == row["llama-server"]["failed_requests"] == 0
        (ours,), (theirs,) = row["demotic"]["all"], row["llama-server"]["all"]
        # The stand-in takes less processor time than can be told.
        assert row["ratio"] == (pytest.approx(ours / theirs, rel=1e-4) if theirs else None)
    assert len(result["reports"]) == 2 * len(scenarios())
    assert "0.02 times what the names say" in result["measured"]
    assert result["versions"] == {"llama-server": "version: fake"}
    assert "--threads 2 --threads-batch 2 --parallel 8" in result["commands"]["llama-server"]
    assert str(tmp_path) not in json.dumps(result)
    assert result["environment"]["OMP_WAIT_POLICY"] == os.environ["OMP_WAIT_POLICY"]
    assert result["load_average_before"] >= 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "llama-server.md").read_text(encoding="utf-8")
    assert "| ratio | wanted | met |" in printed


def test_a_server_that_does_not_start_is_named_with_its_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "llama-server"
    broken.write_text("#!/bin/sh\necho no such model\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    words = ["--llama-server", str(broken), "--model", "smollm2-135m-instruct", "--context", "1024", "--only", "1 c"]
    assert main([*words, "--alternations", "1", "--scale", "0.02", "--results", str(tmp_path)]) == 1
    assert "Ended early: llama-server did not start: no such model" in capsys.readouterr().out
    assert json.loads((tmp_path / "llama-server.json").read_text(encoding="utf-8"))["rows"][0]["ratio"] is None


def test_the_scenarios_are_those_that_are_promised() -> None:
    clients = [(one.workload.clients, one.workload.prompt_tokens, one.workload.output_tokens) for one in scenarios()]
    assert clients == [(1, 64, 64), (4, 64, 64), (8, 64, 64), (8, 16, 16), (4, 64, 192)]
    assert [one.workload.shared_prefix for one in scenarios()] == [0, 0, 0, 600, 0]
    assert [one.workload.long_prompt for one in scenarios()] == [0, 0, 0, 0, 2000]
    figures = [figure for one in scenarios() for figure in one.figures if figure.wanted is not None]
    wanted = [(figure.more_is_better, round(figure.wanted or 0, 2)) for figure in figures]
    assert wanted == [(True, 1.0), (True, 1.0), (True, 1.0), (True, 3.0), (False, 0.33), (False, 1.2)]


def test_the_processor_time_is_shown_for_each_output_token_and_not_judged(
    stand_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--llama-server", str(stand_in), "--model", "smollm2-135m-instruct", "--context", "1024", "--only", "1 c"]
    assert main([*words, "--alternations", "1", "--scale", "0.3", "--results", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "llama-server.json").read_text(encoding="utf-8"))
    row = result["rows"][1]
    for report in result["reports"]:
        taken = report["cpu_seconds"]["server"] / report["output_tokens"]
        assert row[report["side"]]["median"] == pytest.approx(taken, rel=1e-4)
        assert report["cpu_seconds"]["client"] > 0
    # llama.cpp computes on one side, the stand-in sleeps on the other.
    assert row["demotic"]["median"] > 3 * row["llama-server"]["median"]
    assert row["is_met"] is None
    assert "| CPU time of the server, s/output token |" in capsys.readouterr().out
