"""`demotic convert`: what it writes, what it says, and that nothing half done is ever left."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import demotic
from converters import bodies
from converters.convert import Request, convert
from converters.files import require_space
from runtime.errors import ConfigurationInvalid, ConversionRefused
from runtime.models.files import NoProgress
from runtime.models.header import EMBEDDED_KEY
from runtime.models.inspect import StringArray, check_loadable, read_header
from tests.converters.families import Families
from tests.converters.memory import bytes_for, enlarge
from tests.converters.parity import measure
from tests.tiny.checkpoints import save_checkpoint, tiny_llama
from tests.tiny.tokenizers import sentencepiece


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


@pytest.mark.parametrize(
    ("type_name", "matrix_type", "most_kl"),
    [("f32", "F32", 1e-9), ("f16", "F16", 1e-4), ("bf16", "BF16", 1e-2), ("q8_0", "Q8_0", 1e-2)],
)
def test_each_type_stores_matrices_in_it_and_vectors_in_f32(
    type_name: str, matrix_type: str, most_kl: float, families: Families, tmp_path: Path
) -> None:
    family = families["llama"]
    done = convert(Request(str(family.folder), tmp_path / "a.gguf", type_name))
    header = read_header(done.path)
    check_loadable(header)
    assert header.quantization == matrix_type
    types = {name: tensor.type for name, tensor in header.tensors.items()}
    assert {types[name] for name in types if "norm" not in name} == {matrix_type}
    assert {types[name] for name in types if "norm" in name} == {"F32"}
    assert measure(done.path, family.model).max_kl < most_kl
    assert done.manifest.size == done.path.stat().st_size == header.file_size
    assert done.manifest.sha256 == hashlib.sha256(done.path.read_bytes()).hexdigest()


def test_half_precision_values_are_those_of_the_source_rounded_once(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    source = family.model.state_dict()["model.layers.0.mlp.up_proj.weight"]
    for type_name, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
        done = convert(Request(str(family.folder), tmp_path / f"{type_name}.gguf", type_name))
        tensor = read_header(done.path).tensors["blk.0.ffn_up.weight"]
        stored = np.fromfile(done.path, np.uint8, tensor.size, offset=tensor.offset)
        assert stored.tobytes() == source.to(dtype).contiguous().view(torch.uint8).numpy().tobytes()


def test_rows_that_a_type_cannot_pack_are_written_as_f16_with_a_line_each(tmp_path: Path) -> None:
    tokenizer = sentencepiece()
    model = tiny_llama(tokenizer.get_vocab_size(), intermediate_size=80)
    folder = save_checkpoint(tmp_path / "odd", model, tokenizer)
    done = convert(Request(str(folder), tmp_path / "a.gguf", "q8_0"))
    assert [note for note in done.manifest.notes if "ffn_down" in note] == [
        f"blk.{block}.ffn_down.weight is written as F16: Q8_0 packs 32 values, its rows have 80." for block in (0, 1)
    ]
    assert read_header(done.path).tensors["blk.0.ffn_down.weight"].type == "F16"
    assert read_header(done.path).tensors["blk.0.ffn_up.weight"].type == "Q8_0"


def test_values_beyond_float16_are_refused_and_bf16_takes_them(tmp_path: Path) -> None:
    tokenizer = sentencepiece()
    model = tiny_llama(tokenizer.get_vocab_size())
    with torch.no_grad():
        model.lm_head.weight[0, 0] = 70000.0
    folder = save_checkpoint(tmp_path / "large", model, tokenizer)
    with pytest.raises(ConversionRefused, match=r"'output.weight' above 65504.*--type bf16"):
        convert(Request(str(folder), tmp_path / "a.gguf", "f16"))
    assert not list(tmp_path.glob("*a.gguf*"))
    convert(Request(str(folder), tmp_path / "a.gguf", "bf16"))


def test_a_window_that_llama_cpp_does_not_know_ends_the_context(families: Families, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(families["mistral"].folder, tmp_path / "windowed"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 32}))
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert read_header(done.path).shape().context_length == 32
    assert done.manifest.notes == ("The context ends at 32 tokens: llama.cpp's llama knows no sliding window.",)


# What goes into the file beside the weights


CARD = """---
license: other
license_name: tiny-licence
license_link: https://example.org/licence
language: [bg, mk]
base_model: org/base
---
# Tiny
"""


def test_licence_languages_template_and_ends_go_into_the_file(llama: Path, tmp_path: Path) -> None:
    (llama / "README.md").write_text(CARD, encoding="utf-8")
    (llama / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    settings = {"chat_template": template, "bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>"}
    (llama / "tokenizer_config.json").write_text(json.dumps(settings))
    done = convert(Request(str(llama), tmp_path / "a.gguf"))
    header = read_header(done.path)
    languages = header.metadata["general.languages"]
    assert isinstance(languages, StringArray)
    assert list(languages) == ["bg", "mk"]
    wanted = {
        "general.license": "other",
        "general.license.name": "tiny-licence",
        "general.license.link": "https://example.org/licence",
        "general.base_model.0.name": "base",
        "general.base_model.0.organization": "org",
        "tokenizer.chat_template": template,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.eot_token_id": 7,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        EMBEDDED_KEY: (llama / "tokenizer.json").read_text(encoding="utf-8"),
    }
    assert {key: header.metadata.get(key) for key in wanted} == wanted
    assert (done.manifest.license, done.manifest.languages) == ("other", ("bg", "mk"))
    assert done.manifest.base_models == ("org/base",)


def test_the_manifest_lies_beside_the_file_and_show_reads_it(llama: Path, tmp_path: Path) -> None:
    (llama / "README.md").write_text(CARD, encoding="utf-8")
    result = run("convert", str(llama), "-o", str(tmp_path / "a.gguf"), "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    written = json.loads((tmp_path / "a.gguf.manifest.json").read_text(encoding="utf-8"))
    assert told == {"path": str(tmp_path / "a.gguf"), **written}
    assert written["made_from"] == "tiny-llama"
    assert written["tools"]["demotic"]
    names = {file["name"]: file for file in written["source_files"]}
    weights = llama / "model.safetensors"
    assert names["model.safetensors"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert {"config.json", "tokenizer.json"} <= set(names)
    shown = json.loads(run("show", str(tmp_path / "a.gguf"), "--json").stdout)
    assert shown["made_from"] == "tiny-llama"
    assert shown["sha256"] == written["sha256"]
    with (tmp_path / "a.gguf").open("ab") as file:
        file.write(b"\0")  # another file of that name: the manifest is not its
    assert json.loads(run("show", str(tmp_path / "a.gguf"), "--json").stdout)["made_from"] is None


def test_a_missing_licence_is_said(llama: Path, tmp_path: Path) -> None:
    result = run("convert", str(llama), "-o", str(tmp_path / "a.gguf"))
    assert "names no licence" in result.stderr
    assert result.stdout.startswith(f"{tmp_path / 'a.gguf'} (")


def test_without_a_name_the_file_is_called_after_the_source(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("convert", str(llama), "--type", "q8_0").exit_code == 0
    assert (tmp_path / "tiny-llama-Q8_0.gguf").is_file()


# Nothing half done


def test_a_name_that_is_taken_is_refused_without_force(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.gguf"
    target.write_text("mine")
    result = run("convert", str(llama), "-o", str(target))
    assert isinstance(result.exception, ConversionRefused)
    assert "--force" in str(result.exception)
    assert target.read_text() == "mine"
    assert run("convert", str(llama), "-o", str(target), "--force").exit_code == 0
    check_loadable(read_header(target))


def test_a_folder_that_is_not_there_is_refused(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionRefused, match="There is no folder"):
        convert(Request(str(llama), tmp_path / "none" / "a.gguf"))


class Failing(NoProgress):
    """A report that fails while the weights are written."""

    def __init__(self, fault: BaseException | None = None) -> None:
        self._fault = fault

    def advance(self, num_bytes: int) -> None:
        if self._fault is None:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            raise self._fault


def test_a_full_disk_leaves_nothing_and_what_was_there_stays(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.gguf"
    target.parent.mkdir()
    target.write_text("the old one")
    with pytest.raises(ConversionRefused, match="no space left"):
        convert(Request(str(llama), target, force=True), Failing(OSError(errno.ENOSPC, "No space left on device")))
    assert [path.name for path in target.parent.iterdir()] == ["a.gguf"]
    assert target.read_text() == "the old one"


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConversionRefused, match=r"needs 1000000000.00 GB, but its disk has"):
        require_space(tmp_path / "a.gguf", 10**18)


def test_an_interrupt_removes_what_was_written(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.gguf"
    target.parent.mkdir()
    with pytest.raises(KeyboardInterrupt):
        convert(Request(str(llama), target), Failing(KeyboardInterrupt()))
    assert list(target.parent.iterdir()) == []


def test_a_request_to_end_removes_what_was_written(llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.gguf"
    target.parent.mkdir()
    with pytest.raises(KeyboardInterrupt), bodies.ending_like_an_interrupt():
        convert(Request(str(llama), target), Failing())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert list(target.parent.iterdir()) == []


def test_a_file_that_the_runtime_would_refuse_is_not_kept(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.architectures.llama import Llama

    monkeypatch.setattr(Llama, "window", property(lambda self: 0))
    monkeypatch.setattr(Llama, "context_length", property(lambda self: 0))
    with pytest.raises(ConversionRefused, match=r"What came of it cannot be run: .*a\.gguf.*context_length"):
        convert(Request(str(llama), tmp_path / "a.gguf"))
    assert not list(tmp_path.glob("*a.gguf*"))


def test_without_the_extra_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_NEEDED", ("gguf", "a_package_that_nobody_has"))
    result = run("convert", "x")
    assert isinstance(result.exception, ConfigurationInvalid)
    assert "pip install 'demotic[convert]'" in str(result.exception)


# Memory


def test_a_large_checkpoint_takes_a_bounded_memory(families: Families, llama: Path, tmp_path: Path) -> None:
    enlarge(llama, families["llama"].model)
    small = (str(families["llama"].folder), str(tmp_path / "a.gguf"), "q8_0")
    assert bytes_for((str(llama), str(tmp_path / "b.gguf"), "q8_0"), after=small) < 100e6
    assert (tmp_path / "b.gguf").stat().st_size > 100e6
