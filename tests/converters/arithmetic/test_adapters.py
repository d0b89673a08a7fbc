"""Adapters merged into a checkpoint, held against what PEFT computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from converters.convert import Request, convert
from tests.converters.arithmetic.commands import refusal, run
from tests.converters.families import EXACT, Families
from tests.converters.parity import assert_same
from tests.tiny.adapters import save_adapter
from tests.tiny.tokenizers import sentencepiece

TOKENS = torch.arange(5, 45)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=TOKENS).logits
    return found


def test_s30_cabuxa_merged_equals_the_base_with_it_equals_peft(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    adapter = tmp_path / "cabuxa-7b"
    settings: dict[str, Any] = {"r": 8, "lora_alpha": 16, "is_pickled": True}  # a scale of 2
    adapted = save_adapter(adapter, family.model, targets=("q_proj", "v_proj"), **settings)
    assert (adapter / "adapter_model.bin").is_file()
    wanted = logits(adapted)
    assert not torch.allclose(wanted, logits(family.model), atol=0.1)

    out = tmp_path / "merged"
    told = run("merge", family.folder, adapter, "-o", out, "--verify")
    merged = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert torch.allclose(logits(merged), wanted, atol=EXACT)
    assert told["parity"]["max_kl"] < 1e-6
    assert told["merge"]["adapters"][0]["made_from"] == "cabuxa-7b"

    lora = convert(Request(str(adapter), tmp_path / "cabuxa.gguf", base=str(family.folder))).path
    assert_same(family.converted.path, adapted, within=EXACT, lora=lora)
    into_gguf = tmp_path / "merged.gguf"
    run("merge", family.converted.path, lora, "-o", into_gguf)
    assert_same(into_gguf, adapted, within=EXACT)
    assert_same(convert(Request(str(out), tmp_path / "converted.gguf", "f32")).path, adapted, within=EXACT)


def test_values_keep_the_type_of_the_base(families: Families, tmp_path: Path) -> None:
    family = families["qwen2"]
    base = Path(shutil.copytree(family.folder, tmp_path / "base"))
    halves = {name: value.bfloat16() for name, value in load_file(base / "model.safetensors").items()}
    save_file(halves, base / "model.safetensors", {"format": "pt"})
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    save_adapter(tmp_path / "adapter", family.model, targets=("q_proj",), modules_to_save=["model.norm"])
    told = run("merge", base, tmp_path / "adapter", "-o", tmp_path / "out")
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert {value.dtype for value in found.values()} == {torch.bfloat16}
    changed = {name for name, value in found.items() if not torch.equal(value, halves[name])}
    assert changed == {"model.norm.weight", *(f"model.layers.{at}.self_attn.q_proj.weight" for at in (0, 1))}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    assert told["type"] == "BF16"


@pytest.mark.parametrize(
    ("name", "settings", "is_parted"),
    [
        ("llama", {"use_dora": True}, False),
        ("llama", {"targets": ("q_proj",), "modules_to_save": ["embed_tokens", "lm_head"]}, False),
        ("qwen2", {"targets": ("lm_head", "k_proj")}, True),
        ("gemma2", {"targets": ("embed_tokens",)}, True),
        ("gpt2", {"use_dora": True, "fan_in_fan_out": True}, False),
    ],
    ids=["DoRA", "whole modules", "a head that was tied", "an embedding that was tied", "transposed"],
)
def test_transformers_computes_what_peft_computes(
    name: str, settings: dict[str, Any], is_parted: bool, families: Families, tmp_path: Path
) -> None:
    family = families[name]
    adapted = save_adapter(tmp_path / "adapter", family.model, **settings)
    told = run("merge", family.folder, tmp_path / "adapter", "-o", tmp_path / "out")
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.allclose(logits(merged), logits(adapted), atol=EXACT)
    assert merged.config.tie_word_embeddings is (family.model.config.tie_word_embeddings and not is_parted)
    assert ("The head is no longer the embedding" in " ".join(told["notes"])) is is_parted


def test_several_adapters_are_added_each_times_its_scale(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    targets = {"law": ("q_proj", "v_proj"), "care": ("q_proj", "up_proj")}
    for seed, (name, modules) in enumerate(targets.items()):
        save_adapter(tmp_path / name, family.model, targets=modules, seed=seed)
    for name in targets:
        run("merge", family.folder, tmp_path / name, "-o", tmp_path / f"with-{name}")
    out = tmp_path / "both"
    run("merge", family.folder, tmp_path / "law", tmp_path / "care", "-o", out, "--scale", "0.5,-2")
    base, law, care, found = (
        load_file(folder / "model.safetensors")
        for folder in (family.folder, tmp_path / "with-law", tmp_path / "with-care", out)
    )
    for name, value in found.items():
        wanted = base[name] + 0.5 * (law[name] - base[name]) - 2 * (care[name] - base[name])
        assert torch.allclose(value, wanted, atol=1e-5)


def test_an_adapter_of_another_vocabulary_is_refused(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    adapter = tmp_path / "adapter"
    save_adapter(adapter, family.model, targets=("q_proj", "embed_tokens"))
    shutil.copy(family.folder / "tokenizer.json", adapter)
    run("merge", family.folder, adapter, "-o", tmp_path / "out")
    other = sentencepiece(size=500)
    other.add_tokens(["<a>", "<b>"])
    other.save(str(adapter / "tokenizer.json"))
    text = refusal("merge", family.folder, adapter, "-o", tmp_path / "other", left=tmp_path)
    assert "was trained with another vocabulary" in text
    text = refusal("merge", family.converted.path, adapter, "-o", tmp_path / "a.gguf", left=tmp_path)
    assert "changes rows of another vocabulary" in text


def test_what_cannot_be_merged_is_refused(families: Families, tmp_path: Path) -> None:
    llama, qwen = families["llama"], families["qwen2"]
    adapter, dora = tmp_path / "adapter", tmp_path / "dora"
    save_adapter(adapter, qwen.model, targets=("down_proj", "k_proj"))
    save_adapter(dora, llama.model, use_dora=True)
    out = ("-o", tmp_path / "out")
    (tmp_path / "some.gguf").touch()
    assert "is no adapter of" in refusal("merge", families["gpt2"].folder, adapter, *out, left=tmp_path)
    assert "so it has no scale but 1" in refusal("merge", llama.folder, dora, *out, "--scale", "2", left=tmp_path)
    text = refusal("merge", llama.folder, dora, dora, *out, "--scale", "1,1,1", left=tmp_path)
    assert "There are 2 adapters and 3 scales" in text
    assert "is a GGUF; what goes" in refusal("merge", llama.folder, tmp_path / "some.gguf", *out, left=tmp_path)
    assert "Leave out --base" in refusal("merge", llama.folder, dora, *out, "--base", "x", left=tmp_path)
    assert "a folder to read from" in refusal("merge", llama.folder, dora, "-o", dora, "--force", left=tmp_path)
    lora = convert(Request(str(adapter), tmp_path / "lora.gguf", base=str(qwen.folder))).path
    text = refusal("merge", llama.folder, lora, "--weights", "1,1", *out, left=tmp_path)
    assert "lora.gguf" in text
