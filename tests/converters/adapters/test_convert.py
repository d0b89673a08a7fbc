"""`demotic convert BASE --adapter ADAPTER`: names, notes, manifest, hub, verification, memory."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from typer.testing import CliRunner

import demotic
from converters.convert import Request, convert
from converters.gguf.quantize import Quantization, quantize
from converters.manifest import derived
from runtime.models.inspect import read_header
from tests.converters.adapters.test_peft import change_config
from tests.converters.families import EXACT, Families
from tests.converters.memory import ROWS, WIDTH, bytes_for, enlarge
from tests.converters.parity import assert_same
from tests.fakes.hub import COMMIT, FakeHub, FakeRepository, running_hub
from tests.tiny.adapters import load_adapter, save_adapter
from tests.tiny.checkpoints import save_checkpoint


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


def data_of(path: Path, name: str) -> bytes:
    tensor = read_header(path).tensors[name]
    return np.fromfile(path, np.uint8, tensor.size, offset=tensor.offset).tobytes()


CARD = "---\nlicense: apache-2.0\nlanguage: [bg]\n---\n"


def test_the_file_and_its_manifest_tell_of_both(
    adapter: Path, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (llama / "README.md").write_text("---\nlicense: llama2\nlanguage: [en]\n---\n")
    (adapter / "README.md").write_text(CARD)
    monkeypatch.chdir(tmp_path)
    result = run("convert", str(llama), "--adapter", str(adapter), "--type", "q8_0", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["path"] == "tiny-llama-legal-Q8_0.gguf"
    weights = adapter / "adapter_model.safetensors"
    merged = told["adapter"]
    assert (merged["made_from"], merged["license"], merged["base_model"]) == ("legal", "apache-2.0", "org/base")
    files = {file["name"]: file["sha256"] for file in merged["source_files"]}
    assert files[weights.name] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (told["license"], told["languages"], told["base_models"]) == ("llama2", ["bg", "en"], ["org/base"])
    assert "The adapter names org/base as its base; it was merged into tiny-llama." in told["notes"]
    assert "The adapter's licence is apache-2.0, the base's llama2." in told["notes"]
    header = read_header(tmp_path / told["path"])
    assert (header.quantization, header.name) == ("Q8_0", "tiny-llama-legal")
    smaller = derived(tmp_path / told["path"], tmp_path / told["path"], "Q8_0", [])
    assert smaller.adapter == merged


def test_merged_values_are_quantized_from_float32_also_where_the_base_is_in_half(
    adapter: Path, families: Families, tmp_path: Path
) -> None:
    family = families["llama"]
    folder = save_checkpoint(tmp_path / "base", copy.deepcopy(family.model).to(torch.bfloat16), family.tokenizer)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    exact = load_adapter(adapter, transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32))
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32", str(adapter)))
    assert_same(done.path, exact, within=EXACT)
    small = convert(Request(str(folder), tmp_path / "b.gguf", "q5_0", str(adapter)))
    quantize(done.path, tmp_path / "c.gguf", Quantization("Q5_0"))
    assert data_of(small.path, "blk.0.attn_q.weight") == data_of(tmp_path / "c.gguf", "blk.0.attn_q.weight")


def test_verify_compares_with_the_source_and_its_adapter(families: Families, tmp_path: Path) -> None:
    family = families["qwen2"]
    # The head, which the base ties to its embedding, is parted from it.
    save_adapter(tmp_path / "adapter", family.model, targets=("embed_tokens", "q_proj"))
    target = tmp_path / "a.gguf"
    arguments = ("--adapter", str(tmp_path / "adapter"), "--type", "f32", "--verify")
    result = run("convert", str(family.folder), "-o", str(target), *arguments)
    assert result.exit_code == 0
    parity = json.loads((tmp_path / "a.gguf.manifest.json").read_text())["parity"]
    assert parity["max_difference"] < EXACT
    assert parity["top_1"] == 1.0
    without = run("verify", str(family.folder), str(target), "--json")
    assert json.loads(without.stdout)["max_difference"] > 0.1


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with running_hub() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.endpoint)
        monkeypatch.setenv("DEMOTIC_CACHE_DIR", str(tmp_path / "cache"))
        yield fake


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_base_and_adapter_come_from_the_hub(hub: FakeHub, adapter: Path, families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    hub.repositories["org/base"] = FakeRepository(files_of(family.folder))
    extra = {"optimizer.pt": b"not wanted", "adapter_model.bin": b"not wanted"}
    hub.repositories["org/legal"] = FakeRepository(files_of(adapter) | extra)
    lora = convert(Request("hf:org/legal", tmp_path / "lora.gguf"))
    assert (lora.manifest.made_from, lora.manifest.revision) == ("hf:org/legal", COMMIT)
    fetched = [request.path for request in hub.downloads()]
    assert not [path for path in fetched if path.endswith((".bin", ".pt", "/model.safetensors"))]
    merged = convert(Request("hf:org/base", tmp_path / "merged.gguf", "f32", "hf:org/legal@v1"))
    adapted = load_adapter(adapter, family.model)
    assert_same(merged.path, adapted, within=EXACT)
    assert_same(family.converted.path, adapted, within=EXACT, lora=lora.path)
    assert merged.manifest.adapter is not None
    assert (merged.manifest.adapter["made_from"], merged.manifest.adapter["revision"]) == ("hf:org/legal", COMMIT)


@pytest.mark.parametrize("use_dora", [False, True])
def test_a_large_base_is_merged_in_a_bounded_memory(
    use_dora: bool, adapter: Path, families: Families, llama: Path, tmp_path: Path
) -> None:
    enlarge(llama, families["llama"].model)
    large = tmp_path / "large"
    large.mkdir()
    above = "base_model.model.model.layers.0.mlp.up_proj"
    tensors = {f"{above}.lora_A.weight": torch.ones(4, WIDTH), f"{above}.lora_B.weight": torch.ones(ROWS, 4)}
    if use_dora:
        tensors[f"{above}.lora_magnitude_vector"] = torch.ones(ROWS)
    save_file(tensors, large / "adapter_model.safetensors")
    (large / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    change_config(large, use_dora=use_dora)
    small = (str(families["llama"].folder), str(tmp_path / "a.gguf"), "q8_0", str(adapter))
    assert bytes_for((str(llama), str(tmp_path / "b.gguf"), "q8_0", str(large)), after=small) < 100e6
    assert (tmp_path / "b.gguf").stat().st_size > 100e6
