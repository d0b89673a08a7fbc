"""What only a merge can do: DoRA, embeddings, whole modules, rows of tokens, biases, resized vocabularies."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from converters.convert import Converted, Request, convert
from runtime.errors import ConversionRefused
from runtime.models.inspect import read_header
from tests.converters.families import EXACT, GELU, Families, Family
from tests.converters.parity import assert_same, measure
from tests.tiny.adapters import save_adapter
from tests.tiny.tokenizers import sentencepiece


def merged(family: Family, adapter: Path, target: Path) -> Converted:
    return convert(Request(str(family.folder), target, "f32", str(adapter)))


UNTIED: dict[str, dict[str, Any]] = {
    "DoRA": {"use_dora": True},
    "DoRA of the embedding": {"targets": ("embed_tokens", "q_proj"), "use_dora": True},
    "LoRA of the embedding": {"targets": ("embed_tokens", "q_proj")},
    "LoRA of the head": {"targets": ("lm_head", "k_proj")},
    "LoRA of the embedding, which is saved too": {"targets": ("embed_tokens",), "saves_embeddings": True},
    "embedding and head saved whole": {
        "targets": ("q_proj", "k_proj"),
        "modules_to_save": ["embed_tokens", "lm_head"],
    },
    "norms saved whole": {"targets": ("q_proj",), "modules_to_save": ["input_layernorm", "norm"]},
    "a matrix saved whole": {"targets": ("q_proj",), "modules_to_save": ["0.mlp.up_proj"]},
    "rows of tokens": {"targets": ("q_proj",), "trainable_token_indices": [3, 500, 7]},
    "rows of tokens by module": {
        "targets": ("q_proj",),
        "trainable_token_indices": {"embed_tokens": [9, 4], "lm_head": [5]},
    },
}


@pytest.mark.parametrize("case", UNTIED)
def test_a_llama_with_a_head_of_its_own(case: str, families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    adapted = save_adapter(tmp_path / "adapter", family.model, **UNTIED[case])
    assert measure(family.converted.path, adapted).max_kl > 1e-3
    assert_same(merged(family, tmp_path / "adapter", tmp_path / "a.gguf").path, adapted, within=EXACT)


TIED: dict[str, tuple[dict[str, Any], bool]] = {
    "LoRA of the embedding": ({"targets": ("embed_tokens", "q_proj")}, True),
    "LoRA of the head": ({"targets": ("lm_head", "k_proj")}, True),
    "LoRA of both": ({"targets": ("embed_tokens",), "ensure_weight_tying": True}, False),
    "the embedding saved whole": ({"targets": ("q_proj",), "modules_to_save": ["embed_tokens"]}, True),
    "both saved whole, one tensor": (
        {"targets": ("q_proj",), "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        False,
    ),
    "rows of tokens": ({"targets": ("q_proj",), "trainable_token_indices": [3, 7]}, False),
    "DoRA": ({"use_dora": True}, False),
}


@pytest.mark.parametrize("case", TIED)
def test_a_qwen_whose_head_is_its_embedding_is_parted_where_peft_parts_it(
    case: str, families: Families, tmp_path: Path
) -> None:
    family = families["qwen2"]
    settings, is_parted = TIED[case]
    adapted = save_adapter(tmp_path / "adapter", family.model, **settings)
    done = merged(family, tmp_path / "adapter", tmp_path / "a.gguf")
    assert_same(done.path, adapted, within=EXACT)
    assert ("output.weight" in read_header(done.path).tensors) is is_parted


def test_a_head_that_is_written_beside_the_embedding_though_tied_is_parted_too(
    families: Families, tmp_path: Path
) -> None:
    family = families["qwen2"]
    folder = Path(shutil.copytree(family.folder, tmp_path / "base"))
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    for case, is_parted in (("LoRA of the embedding", True), ("rows of tokens", False)):
        adapter = tmp_path / case.replace(" ", "-")
        adapted = save_adapter(adapter, family.model, **TIED[case][0])
        done = convert(Request(str(folder), tmp_path / f"{adapter.name}.gguf", "f32", str(adapter)))
        assert_same(done.path, adapted, within=EXACT)
        assert ("output.weight" in read_header(done.path).tensors) is is_parted


def test_gemma_cannot_have_a_head_of_its_own(families: Families, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", families["gemma2"].model, targets=("embed_tokens",))
    with pytest.raises(ConversionRefused, match="a head that differs from its embedding"):
        merged(families["gemma2"], tmp_path / "adapter", tmp_path / "a.gguf")
    assert not list(tmp_path.glob("*a.gguf*"))


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("fan_in_fan_out", [False, True])
def test_gpt2_s_matrices_lie_the_other_way_whatever_the_config_says(
    use_dora: bool, fan_in_fan_out: bool, families: Families, tmp_path: Path
) -> None:
    family = families["gpt2"]
    adapted = save_adapter(tmp_path / "adapter", family.model, use_dora=use_dora, fan_in_fan_out=True)
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fan_in_fan_out": fan_in_fan_out}))
    assert_same(merged(family, tmp_path / "adapter", tmp_path / "a.gguf").path, adapted, within=GELU)


@pytest.mark.parametrize(
    "settings",
    [{"bias": "all"}, {"bias": "lora_only"}, {"lora_bias": True}],
    ids=["all", "lora only", "of the product"],
)
def test_biases_that_were_trained_are_merged(settings: dict[str, Any], families: Families, tmp_path: Path) -> None:
    family = families["qwen2"]
    adapted = save_adapter(tmp_path / "adapter", family.model, targets=("q_proj", "v_proj"), **settings)
    biased = family.model.state_dict()["model.layers.0.self_attn.q_proj.bias"]
    done = merged(family, tmp_path / "adapter", tmp_path / "a.gguf")
    assert_same(done.path, adapted, within=EXACT)
    tensor = read_header(done.path).tensors["blk.0.attn_q.bias"]
    stored = np.fromfile(done.path, np.float32, tensor.size // 4, offset=tensor.offset)
    assert np.abs(stored - biased.numpy()).max() > 1e-2


def test_a_resized_vocabulary_comes_with_the_adapter_s_tokenizer(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    tokenizer = sentencepiece()
    added = [f"<lang_{code}>" for code in ("bg", "mk", "gl", "nl")]
    tokenizer.add_special_tokens(added)
    resized = copy.deepcopy(family.model)
    resized.resize_token_embeddings(tokenizer.get_vocab_size())
    adapted = save_adapter(tmp_path / "adapter", resized, targets=("q_proj",), saves_embeddings=True)
    tokenizer.save(str(tmp_path / "adapter" / "tokenizer.json"))
    done = merged(family, tmp_path / "adapter", tmp_path / "a.gguf")
    assert_same(done.path, adapted, within=EXACT)
    header = read_header(done.path)
    assert list(header.metadata["tokenizer.ggml.tokens"])[-4:] == added  # type: ignore[arg-type]
    assert header.shape().vocabulary_size == tokenizer.get_vocab_size() == family.model.config.vocab_size + 4
    assert any("The vocabulary has" in note for note in done.manifest.notes)
    assert "The tokenizer is the adapter's." in done.manifest.notes
