"""Published adapters that conversion must serve, each as a tiny one of its shape."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from converters.convert import Request, convert
from runtime.errors import ConversionRefused
from runtime.models.inspect import StringArray, read_header
from tests.converters.families import EXACT, Families
from tests.converters.parity import assert_same
from tests.tiny.adapters import load_adapter, save_adapter
from tests.tiny.tokenizers import sentencepiece

CABUXA_CARD = """---
language: [gl]
license: other
base_model: huggyllama/llama-7b
---
"""


def test_cabuxa_a_pickled_adapter_merged_and_beside_llama_gives_peft_s_logits(
    families: Families, tmp_path: Path
) -> None:
    family = families["llama"]
    folder = tmp_path / "cabuxa-7b"
    settings: dict[str, Any] = {
        "r": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "base": "huggyllama/llama-7b",
        "is_pickled": True,
    }
    adapted = save_adapter(folder, family.model, targets=("q_proj", "v_proj"), **settings)
    (folder / "README.md").write_text(CABUXA_CARD, encoding="utf-8")
    assert (folder / "adapter_model.bin").is_file()
    assert not (folder / "adapter_model.safetensors").exists()
    lora = convert(Request(str(folder), tmp_path / "cabuxa.gguf", base=str(family.folder)))
    assert_same(family.converted.path, adapted, within=EXACT, lora=lora.path)
    header = read_header(lora.path)
    wanted = {
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 16.0,  # of rank 8: a scale of 2
        "general.name": "cabuxa-7b",
        "general.license": "other",
        "general.base_model.0.repo_url": "https://huggingface.co/huggyllama/llama-7b",
    }
    assert {key: header.metadata.get(key) for key in wanted} == wanted
    # Its 4,194,304 values take 16.8 MB in float32: 32 blocks of a width of 4096; here it is 2 of 64, with 2 heads of
    # values for 4 of queries.
    num_values = sum(tensor.size // 4 for tensor in header.tensors.values())
    assert num_values == 2 * (8 * (64 + 64) + 8 * (64 + 32))
    merged = convert(Request(str(family.folder), tmp_path / "merged.gguf", "f32", str(folder)))
    assert_same(merged.path, adapted, within=EXACT)
    assert (merged.manifest.languages, merged.manifest.base_models) == (("gl",), ("huggyllama/llama-7b",))
    assert merged.manifest.adapter is not None
    assert (merged.manifest.adapter["license"], merged.manifest.adapter["made_from"]) == ("other", "cabuxa-7b")


def test_chocollama_saved_embeddings_and_head_are_merged(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    folder = tmp_path / "chocollama"
    linear = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    settings: dict[str, Any] = {"r": 8, "lora_alpha": 32, "modules_to_save": ["embed_tokens", "lm_head"]}
    adapted = save_adapter(folder, family.model, targets=linear, **settings)
    merged = convert(Request(str(family.folder), tmp_path / "merged.gguf", "f32", str(folder)))
    assert_same(merged.path, adapted, within=EXACT)
    with pytest.raises(ConversionRefused, match=r"whole weights of its own \(lm_head\.weight\).*--adapter ADAPTER"):
        convert(Request(str(folder), tmp_path / "lora.gguf", base=str(family.folder)))


def test_chocollama_tokentrans_another_tokenizer_of_another_size(families: Families, tmp_path: Path) -> None:
    """The adapter of a model whose vocabulary was exchanged brings embeddings, head and tokenizer."""
    family = families["llama"]
    tokenizer = sentencepiece(size=450)
    tokenizer.add_special_tokens(["<|einde|>"])
    exchanged = copy.deepcopy(family.model)
    exchanged.resize_token_embeddings(tokenizer.get_vocab_size())
    folder = tmp_path / "tokentrans"
    saved = ["embed_tokens", "lm_head"]
    save_adapter(folder, exchanged, targets=("q_proj", "v_proj"), modules_to_save=saved)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "<|einde|>", "chat_template": "{{ messages[0].content }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special), encoding="utf-8")
    done = convert(Request(str(family.folder), tmp_path / "a.gguf", "f32", str(folder)))
    assert_same(done.path, load_adapter(folder, exchanged), within=EXACT)
    metadata = read_header(done.path).metadata
    tokens = metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, StringArray)
    assert len(tokens) == tokenizer.get_vocab_size() < family.model.config.vocab_size
    assert metadata["tokenizer.ggml.eos_token_id"] == tokenizer.token_to_id("<|einde|>")
    assert metadata["tokenizer.chat_template"] == "{{ messages[0].content }}"
