"""`demotic bench serve --against`: presets are found, started, prepared, and take turns."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import demotic
from benchmarks import against, programs
from benchmarks.load import Workload
from benchmarks.programs import Served, find
from runtime.errors import InvalidRequest
from runtime.models.files import sha256_of
from runtime.models.store import Store
from tests.docs.render import REPOSITORY

SERVED = Served("gemma", Path("/models/gemma.gguf"), threads=2, context=1024, clients=4)
WORKLOAD = Workload(2, 4, 16, 0, 8, 0.0, 0, 1)


def stand_in(folder: Path, name: str) -> Path:
    """A program that takes a preset's command line and answers with known delays."""
    script = folder / name
    script.write_text(
        f"#!/bin/sh\ncd '{REPOSITORY}' && exec '{sys.executable}' -m tests.benchmarks.endpoint \"$@\"\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return script


def test_two_programs_take_turns_with_demotic_and_each_gets_a_table_of_ratios(tmp_path: Path) -> None:
    first = stand_in(tmp_path, "llama-server")
    words = ["bench", "serve", "--model", "smollm2-135m-instruct", "--against", f"llama-server={first}"]
    words += ["--clients", "2", "--requests", "2", "--prompt-tokens", "8", "--output-tokens", "4"]
    done = CliRunner().invoke(demotic.make_app(), [*words, "--alternations", "1", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert [row["figure"] for row in result["rows"]] == [
        "throughput",
        "CPU time of the server",
        "median TTFT",
        "p95 of ITL",
    ]
    assert {row["against"] for row in result["rows"]} == {"llama-server"}
    throughput = result["rows"][0]
    assert throughput["ratio"] == pytest.approx(
        throughput["demotic"]["median"] / throughput["llama-server"]["median"], rel=1e-4
    )
    assert throughput["demotic"]["failed_requests"] == throughput["llama-server"]["failed_requests"] == 0
    assert result["versions"] == {"llama-server": "version: fake"}
    assert result["sha256"] == sha256_of(Store().resolve("smollm2-135m-instruct").path)
    assert str(tmp_path) not in json.dumps(result["commands"])


def test_a_program_that_is_not_known_or_not_here_is_named_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match=r"no preset 'lmstudio'.*llama-server, ollama, vllm, llama-cpp-python"):
        find("lmstudio")
    with pytest.raises(InvalidRequest, match=r"/no/where is not a program.*--against ollama=PATH"):
        find("ollama=/no/where")


def test_ollama_gets_a_store_of_its_own_and_a_model_of_the_file(tmp_path: Path) -> None:
    script = tmp_path / "ollama"
    script.write_text(
        f'#!/bin/sh\necho "$OLLAMA_HOST $OLLAMA_MODELS $*" >> {tmp_path}/log\ncat "$4" >> {tmp_path}/log\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    program = find(f"ollama={script}")
    assert program.arguments(SERVED, 8001) == ("serve",)
    settings = program.environment(8001)
    program.prepare(SERVED, program.words, settings)
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert log.startswith(f"127.0.0.1:8001 {settings['OLLAMA_MODELS']} create gemma -f ")
    assert "FROM /models/gemma.gguf\nPARAMETER num_ctx 1024\nPARAMETER num_thread 2\n" in log


def test_each_preset_serves_the_same_file_with_the_same_context_on_the_port(tmp_path: Path) -> None:
    vllm = find(f"vllm={stand_in(tmp_path, 'vllm')}")
    python = programs.llama_cpp_python()
    llama = find(f"llama-server={stand_in(tmp_path, 'llama-server')}")
    assert "--max-model-len 1024 --max-num-seqs 4" in " ".join(vllm.arguments(SERVED, 8001))
    assert "--n_ctx 1024 --n_threads 2" in " ".join(python.arguments(SERVED, 8001))
    assert "--parallel 4 --ctx-size 4096" in " ".join(llama.arguments(SERVED, 8001))
    for program in (vllm, python, llama):
        words = " ".join(program.arguments(SERVED, 8001))
        assert "/models/gemma.gguf" in words and "8001" in words and "127.0.0.1" in words


def test_an_address_makes_no_sense_where_servers_are_started() -> None:
    words = ["bench", "serve", "--against", "ollama", "--url", "http://127.0.0.1:1/v1"]
    done = CliRunner().invoke(demotic.make_app(), words)
    assert isinstance(done.exception, InvalidRequest)
    assert "demotic starts the servers" in str(done.exception)


def test_the_context_holds_the_longest_request() -> None:
    assert against.context_of(WORKLOAD) == 1024
    assert against.context_of(Workload(4, 4, 64, 600, 64, 0.0, 2000, 1)) >= 600 + 2000 + 64
