"""optimum exports in an environment of its own; what it writes is held against the source, and refused where it differs.

Its environment cannot stand beside this one. A script stands for its interpreter, and writes graphs of our own, whose
names are the same for encoders; where DEMOTIC_OPTIMUM_PYTHON is set, one test lets optimum itself export.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

import demotic
from converters.onnx.optimum import VARIABLE, find_optimum
from runtime.errors import ConfigurationInvalid, ConversionRefused, DemoticError, InvalidRequest
from tests.converters.onnx.sources import Sources

OPTIMUM = os.environ.get(VARIABLE)


@pytest.fixture(autouse=True)
def _no_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


def interpreter(folder: Path, does: str) -> Path:
    """A program that is started as `PYTHON -m optimum... export onnx --model SOURCE --task TASK TARGET`."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def copying(sources: Sources, name: str, graph: Path | None = None) -> str:
    """What writes a folder as optimum does."""
    graph = graph or sources.exported(name).path / "model.onnx"
    return f'mkdir -p "$9"; cp "{graph}" "$9/model.onnx"; cp "$6/config.json" "$9"; echo "$8" > "$9/task.txt"'


def exported(sources: Sources, name: str, python: Path, out: Path, *more: str) -> Any:
    source = str(sources.checkpoint(name))
    chosen = ("--exporter", "optimum", "--optimum-python", str(python))
    return run("convert", source, "--to", "onnx", "-o", str(out), *chosen, *more)


def test_what_optimum_writes_is_held_against_the_source_and_kept_as_it_is(sources: Sources, tmp_path: Path) -> None:
    python, out = interpreter(tmp_path, copying(sources, "bert")), tmp_path / "out"
    done = exported(sources, "bert", python, out, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert 0 < told["parity"]["max_difference"] < 2e-4
    assert told["tools"]["optimum-onnx"] == "0.1.0"
    assert (out / "task.txt").read_text().strip() == "feature-extraction"
    assert {each["name"] for each in told["files"]} == {"model.onnx", "config.json", "task.txt", "tokenizer.json"}
    shown = json.loads(run("show", str(out), "--json").stdout)
    assert (shown["task"], shown["made_from"]) == ("features", "bert")
    assert isinstance(exported(sources, "bert", python, out).exception, ConversionRefused)
    assert exported(sources, "bert", python, out, "--force").exit_code == 0


def test_a_checkpoint_is_not_taken_for_an_earlier_export(sources: Sources, tmp_path: Path) -> None:
    python, source = interpreter(tmp_path, "exit 0"), sources.checkpoint("bert")
    fault = exported(sources, "bert", python, source, "--force").exception
    assert isinstance(fault, ConversionRefused)
    assert (source / "model.safetensors").is_file()


def test_graphs_that_differ_from_the_source_are_not_kept(sources: Sources, tmp_path: Path) -> None:
    model = onnx.load(sources.exported("bert").path / "model.onnx")
    largest = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    largest.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(largest) * 1.01, largest.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    python = interpreter(tmp_path, copying(sources, "bert", tmp_path / "wrong.onnx"))
    fault = exported(sources, "bert", python, tmp_path / "out").exception
    assert isinstance(fault, ConversionRefused)
    assert "does not compute what its source does" in fault.message
    assert {path.name for path in tmp_path.iterdir()} == {"python", "wrong.onnx"}


@pytest.mark.parametrize(
    ("does", "said", "kind"),
    [
        ("echo \"No module named 'optimum'\" >&2; exit 1", "has no optimum", ConfigurationInvalid),
        ("echo one; echo 'ValueError: no such task' >&2; exit 3", "ValueError: no such task", ConversionRefused),
        ("exit 5", "ended with 5", ConversionRefused),
        ("exit 0", "What optimum wrote cannot be run", ConversionRefused),
    ],
)
def test_what_goes_wrong_there_is_told_and_leaves_nothing(
    does: str, said: str, kind: type[DemoticError], sources: Sources, tmp_path: Path
) -> None:
    fault = exported(sources, "bert", interpreter(tmp_path, does), tmp_path / "out").exception
    assert isinstance(fault, kind)
    assert said in fault.message
    assert [path.name for path in tmp_path.iterdir()] == ["python"]


def test_an_environment_without_optimum_is_refused_with_the_commands_that_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        find_optimum(None)
    assert "python3 -m venv" in caught.value.remedy
    assert "optimum-onnx[onnxruntime]==0.1.0" in caught.value.remedy
    with pytest.raises(ConfigurationInvalid, match="no Python that could be run"):
        find_optimum(tmp_path)
    monkeypatch.setenv(VARIABLE, sys.executable)
    assert find_optimum(None) == Path(sys.executable)
    fault = run("convert", "somewhere", "--to", "gguf", "--exporter", "optimum").exception
    assert isinstance(fault, InvalidRequest)


@pytest.mark.parametrize("options", [["--type", "int8"], ["--adapter", "x"], ["--pooling", "cls"]])
def test_what_optimum_does_not_do_is_refused(options: list[str], sources: Sources, tmp_path: Path) -> None:
    fault = exported(sources, "bert", interpreter(tmp_path, "exit 0"), tmp_path / "out", *options).exception
    assert isinstance(fault, InvalidRequest)
    assert options[0] in fault.message


@pytest.mark.skipif(OPTIMUM is None, reason="optimum has no environment here")
@pytest.mark.parametrize("name", ["bert", "mbart50", "gpt2"])
def test_optimum_itself_exports_what_is_read(name: str, sources: Sources, tmp_path: Path) -> None:
    done = exported(sources, name, Path(str(OPTIMUM)), tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["parity"]["max_difference"] < 2e-4
