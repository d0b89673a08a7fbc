"""What `demotic trim` refuses of checkpoints and of graphs, and that nothing is left where it stops."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import demotic
from converters.adapt.checkpoint_rows import trimmed_tensors
from converters.adapt.folder import MAP_FILE
from converters.adapt.selection import Selection
from converters.tensors import of_array
from runtime.errors import ConversionRefused
from tests.converters.onnx.sources import Sources
from tests.tiny.gguf import write_tiny_gguf

KINDS = ("checkpoint", "graphs")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(demotic.make_app(), ["trim", *map(str, arguments)])


def message_of(result: Any) -> str:
    assert result.exit_code != 0
    return str(result.exception)


def model_of(sources: Sources, kind: str, name: str = "xlmr-mlm") -> Path:
    return sources.checkpoint(name) if kind == "checkpoint" else sources.exported(name).path


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked_for_is_refused_as_of_a_gguf(kind: str, sources: Sources, tmp_path: Path) -> None:
    model, target = model_of(sources, kind), tmp_path / "a"
    none = message_of(run(model, "-o", target, "--languages", "iku"))
    assert "neither a list of words nor an alphabet of iku_Cans" in none
    assert "Choose a --size of at least" in message_of(run(model, "-o", target, "--scripts", "Latn", "--size", "10"))
    corpus = tmp_path / "corpus.txt"
    corpus.write_bytes(b"abc\nd\xff\n")
    assert "no UTF-8 at byte 5" in message_of(run(model, "-o", target, "--corpus", corpus))
    corpus.unlink()
    adapter = message_of(run(model, "-o", target, "--scripts", "Latn", "--adapter", tmp_path / "lora"))
    assert ("There is no folder " if kind == "checkpoint" else "Graphs have no adapters beside them") in adapter
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_read_or_is_another_s_is_never_written(kind: str, sources: Sources, tmp_path: Path) -> None:
    model = Path(shutil.copytree(model_of(sources, kind), tmp_path / "model"))
    before = {path: path.read_bytes() for path in model.iterdir()}
    assert "to read from" in message_of(run(model, "-o", model, "--scripts", "Latn", "--force"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear", encoding="utf-8")
    assert "exists already" in message_of(run(model, "-o", other, "--scripts", "Latn"))
    assert "not overwritten" in message_of(run(model, "-o", other, "--scripts", "Latn", "--force"))
    assert {path: path.read_bytes() for path in model.iterdir()} == before
    assert [path.name for path in other.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_leaves_no_folder(
    kind: str, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_arguments: object, **_more: object) -> None:
        assert list(tmp_path.iterdir())  # it has been begun
        raise KeyboardInterrupt

    place = {"graphs": "format_onnx.copy_files", "checkpoint": "format_checkpoint.write_map"}[kind]
    monkeypatch.setattr(f"converters.adapt.{place}", stop)
    assert run(model_of(sources, kind), "-o", tmp_path / "a", "--scripts", "Latn").exit_code != 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named(kind: str, sources: Sources, tmp_path: Path) -> None:
    model = Path(shutil.copytree(model_of(sources, kind), tmp_path / "model"))
    (model / MAP_FILE).write_bytes(b"no array")
    assert f"{MAP_FILE} is damaged" in message_of(run(model, "-o", tmp_path / "a", "--scripts", "Latn"))
    (model / MAP_FILE).unlink()
    (model / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert "tokenizer.json" in message_of(run(model, "-o", tmp_path / "a", "--scripts", "Latn"))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_vocabularies_that_cannot_be_trimmed_are_told(sources: Sources, tmp_path: Path) -> None:
    graphs = sources.exported("byt5").path
    assert "single bytes" in message_of(run(graphs, "-o", tmp_path / "a", "--scripts", "Latn"))
    pieces = Path(shutil.copytree(sources.exported("xlmr-mlm").path, tmp_path / "pieces"))
    settings = json.loads((pieces / "demotic.json").read_text(encoding="utf-8"))
    for name in ("a.spm", "vocab.json"):
        (pieces / name).touch()
    told = {"kind": "sentencepiece", "source": "a.spm", "target": "a.spm", "vocabulary": "vocab.json", "unk": 3}
    (pieces / "demotic.json").write_text(json.dumps({**settings, "tokenizer": told}), encoding="utf-8")
    text = message_of(run(pieces, "-o", tmp_path / "a", "--scripts", "Latn"))
    assert "a.spm" in text and "vocab.json, which is not trimmed" in text


def test_checkpoints_whose_rows_are_not_known_are_told(sources: Sources, tmp_path: Path) -> None:
    model = Path(shutil.copytree(sources.checkpoint("xlmr-mlm"), tmp_path / "model"))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps({**config, "quantization_config": {"bits": 4}}), encoding="utf-8")
    assert "is quantized already" in message_of(run(model, "-o", tmp_path / "a", "--scripts", "Latn"))
    square = {"model.embed_tokens.weight": of_array(np.zeros((6, 2), np.float32)),
              "model.layers.0.mlp.up_proj.weight": of_array(np.zeros((6, 2), np.float32))}  # fmt: skip
    with pytest.raises(ConversionRefused, match=r"'model.layers.0.mlp.up_proj.weight' has the vocabulary's size, 6"):
        trimmed_tensors(square, Selection(np.array([0, 2]), 1), 6)


def test_each_format_asks_for_its_own_packages_alone(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    missing = {"onnx", "torch", "transformers", "gguf"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in missing else real(name, *more))
    graphs = message_of(run(model_of(sources, "graphs"), "-o", tmp_path / "a", "--scripts", "Latn"))
    assert "need onnx, not" in graphs and "demotic[trim]" in graphs
    checkpoint = message_of(run(model_of(sources, "checkpoint"), "-o", tmp_path / "a", "--scripts", "Latn"))
    assert "need torch, transformers, not" in checkpoint and "demotic[convert]" in checkpoint


def test_a_gguf_is_trimmed_without_any_package_of_the_converters(corpus: Path, tmp_path: Path) -> None:
    model = write_tiny_gguf(tmp_path / "model.gguf", vocabulary_size=480)
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('gguf', 'onnx', 'onnxscript', 'safetensors', 'torch', 'transformers', 'wordfreq'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "def found(name, package=None):\n"
        "    try: return real(name, package)\n"
        "    except ModuleNotFoundError: return None\n"
        "importlib.util.find_spec = found\n"
        "import demotic\n"
        f"sys.argv = ['demotic', 'trim', {str(model)!r}, '-o', {str(tmp_path / 'a.gguf')!r}, '--corpus', {str(corpus)!r}]\n"
        "demotic.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Proved:" in done.stdout
