"""Merged, beside its base in llama.cpp, and in transformers: an adapter does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from converters.convert import Request, convert
from tests.converters.families import EXACT, Families
from tests.converters.parity import assert_same, measure
from tests.tiny.adapters import save_adapter


@pytest.mark.parametrize(
    "name",
    [
        "llama", "llama-biased", "llama3-tied", "mistral", "qwen2", "qwen3", "phi", "gemma", "gemma2", "gemma3", "gpt2",
        "gpt_neox", "bloom",
    ],
)  # fmt: skip
def test_merged_and_beside_the_base_it_gives_peft_s_logits(name: str, families: Families, tmp_path: Path) -> None:
    family = families[name]
    adapted = save_adapter(tmp_path / "adapter", family.model)
    assert measure(family.converted.path, adapted).max_kl > 1e-2  # it changes something
    merged = convert(Request(str(family.folder), tmp_path / "merged.gguf", "f32", str(tmp_path / "adapter")))
    assert_same(merged.path, adapted, within=family.recipe.within)
    lora = convert(Request(str(tmp_path / "adapter"), tmp_path / "lora.gguf", base=str(family.folder)))
    assert_same(family.converted.path, adapted, within=family.recipe.within, lora=lora.path)


SCALES: dict[str, dict[str, Any]] = {
    "rank-stabilized": {"use_rslora": True},
    "alphas by module": {"alpha_pattern": {"q_proj": 3, r"layers\.1\..*\.up_proj": 20}},
    "ranks by module": {"rank_pattern": {"^model.layers.0.mlp.down_proj": 2, "v_proj": 16}},
    "all of them": {"use_rslora": True, "alpha_pattern": {"q_proj": 1.5}, "rank_pattern": {"v_proj": 16, "o_proj": 2}},
    "some layers": {"layers_to_transform": [1], "layers_pattern": "layers"},
    "a pattern of modules": {"targets": r".*\.0\..*(q|down)_proj"},
}


@pytest.mark.parametrize("case", SCALES)
def test_every_way_to_scale_is_exact_merged_and_beside_the_base(case: str, families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    settings = {"targets": ("q_proj", "v_proj", "o_proj", "up_proj", "down_proj"), **SCALES[case]}
    adapted = save_adapter(tmp_path / "adapter", family.model, **settings)
    merged = convert(Request(str(family.folder), tmp_path / "merged.gguf", "f32", str(tmp_path / "adapter")))
    assert_same(merged.path, adapted, within=EXACT)
    lora = convert(Request(str(tmp_path / "adapter"), tmp_path / "lora.gguf", base=str(family.folder)))
    assert_same(family.converted.path, adapted, within=EXACT, lora=lora.path)
