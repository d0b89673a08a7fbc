"""What is no LoRA of this base is refused before anything is written, and the fault is named."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from converters.convert import Request, convert
from runtime.errors import ConversionRefused, InvalidRequest, ModelNotFound
from tests.converters.families import Families
from tests.tiny.adapters import save_adapter
from tests.tiny.checkpoints import save_checkpoint, tiny_llama

WEIGHTS = "adapter_model.safetensors"
Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"


def change_config(adapter: Path, **values: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def change_weights(adapter: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    tensors = load_file(adapter / WEIGHTS)
    change(tensors)
    save_file(tensors, adapter / WEIGHTS)


def merge(families: Families, adapter: Path) -> str:
    """The message of the refusal; nothing must have been written."""
    target = adapter.parent / "out" / "a.gguf"
    target.parent.mkdir()
    with pytest.raises(ConversionRefused) as caught:
        convert(Request(str(families["llama"].folder), target, adapter=str(adapter)))
    assert list(target.parent.iterdir()) == []
    return str(caught.value)


@pytest.mark.parametrize("kind", ["IA3", "PROMPT_TUNING", "PREFIX_TUNING", "LOHA", "LOKR", "ADALORA", "OFT", "VERA"])
def test_other_kinds_are_refused_by_their_names(kind: str, adapter: Path, families: Families) -> None:
    change_config(adapter, peft_type=kind)
    assert f"of the kind {kind}, which is not converted; LoRA and DoRA are" in merge(families, adapter)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"alora_invocation_tokens": [1, 2]}, "sets 'alora_invocation_tokens'"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "sets 'layer_replication'"),
        ({"target_parameters": ["experts.gate"]}, "sets 'target_parameters'"),
        ({"init_lora_weights": "pissa_niter_4"}, "begun with pissa_niter_4, which changes the base's weights too"),
        ({"r": "many"}, "'many' as 'r', which must be a whole number"),
        ({"r": 0}, "has 0 as a rank"),
        ({"lora_alpha": [1]}, "as 'lora_alpha', which must be a number"),
        ({"alpha_pattern": {"q_proj": "x"}}, "which must be a number"),
        ({"alpha_pattern": {"(q_proj": 2}}, "a pattern that cannot be used: '(q_proj'"),
        ({"alpha_pattern": {"(.|.)*[A-Z]": 2}}, "a pattern that cannot be used"),  # takes exponential time
        ({"rank_pattern": {"q_proj": 5}}, "says rank 5 for 'model.layers.0.self_attn.q_proj'"),
        ({"use_dora": True}, "do not agree on DoRA"),
    ],
)
def test_settings_that_cannot_be_kept_are_refused(
    values: dict[str, Any], sentence: str, adapter: Path, families: Families
) -> None:
    change_config(adapter, **values)
    assert sentence in merge(families, adapter)


def keep_one(tensors: dict[str, Any]) -> None:
    del tensors[f"{Q_PROJ}.lora_B.weight"]


def of_another_method(tensors: dict[str, Any]) -> None:
    tensors[f"{Q_PROJ}.hada_w1_a"] = torch.zeros(4, 4)


def empty(tensors: dict[str, Any]) -> None:
    tensors.clear()


def of_a_vector(tensors: dict[str, Any]) -> None:
    tensors[f"{Q_PROJ}.lora_A.weight"] = torch.zeros(64)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (keep_one, "only one of the two matrices for 'model.layers.0.self_attn.q_proj'"),
        (of_another_method, "1 tensors that belong to no LoRA, such as 'model.layers.0.self_attn.q_proj.hada_w1_a'"),
        (empty, "changes nothing"),
        (of_a_vector, "says rank 4"),
    ],
)
def test_weights_that_are_not_whole_are_refused(
    change: Callable[[dict[str, Any]], Any], sentence: str, adapter: Path, families: Families
) -> None:
    change_weights(adapter, change)
    assert sentence in merge(families, adapter)


def test_values_that_are_no_numbers_are_refused(adapter: Path, families: Families) -> None:
    change_weights(adapter, lambda tensors: tensors[f"{Q_PROJ}.lora_A.weight"].fill_(float("nan")))
    assert "no finite numbers" in merge(families, adapter)


def test_a_missing_file_is_named(adapter: Path, families: Families) -> None:
    (adapter / WEIGHTS).unlink()
    assert "has no weights: neither adapter_model.safetensors nor adapter_model.bin" in merge(families, adapter)


def test_a_file_that_is_cut_off_is_refused(adapter: Path, families: Families) -> None:
    (adapter / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes()[:-10])
    assert "is cut off" in merge(families, adapter)


class Code:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_a_bin_that_wants_to_run_code_is_refused(adapter: Path, families: Families) -> None:
    (adapter / WEIGHTS).unlink()
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps({"a": Code()}, protocol=2))
    assert "perhaps code; nothing of it was run" in merge(families, adapter)


def test_a_whole_model_is_no_adapter(families: Families, tmp_path: Path) -> None:
    with pytest.raises(ConversionRefused, match=r"has no adapter_config\.json, so it is no adapter"):
        convert(Request(str(families["llama"].folder), tmp_path / "a.gguf", adapter=str(families["qwen2"].folder)))
    with pytest.raises(ModelNotFound):
        convert(Request(str(families["llama"].folder), tmp_path / "a.gguf", adapter=str(tmp_path / "none")))


def test_an_adapter_of_another_base_is_refused_and_all_that_differs_is_named(
    families: Families, tmp_path: Path
) -> None:
    family = families["llama"]
    deeper = tiny_llama(family.model.config.vocab_size, num_hidden_layers=3, intermediate_size=80)
    save_adapter(tmp_path / "adapter", deeper, targets=("q_proj", "up_proj"))
    found = merge(families, tmp_path / "adapter")
    assert f"{tmp_path / 'adapter'} is no adapter of {family.folder}" in found
    assert "2 that it does not have: model.layers.2.mlp.up_proj.weight, model.layers.2.self_attn.q_proj" in found
    assert "model.layers.0.mlp.up_proj.weight (80 x 64 instead of 96 x 64)" in found
    assert "Give the base that it was trained on: org/base" in found
    with pytest.raises(ConversionRefused, match="2 that it does not have"):
        convert(Request(str(tmp_path / "adapter"), tmp_path / "lora.gguf", base=str(family.folder)))


def test_modules_and_rows_that_do_not_fit_are_named(families: Families, tmp_path: Path) -> None:
    wide = tiny_llama(families["llama"].model.config.vocab_size, hidden_size=32)
    settings: dict[str, Any] = {"modules_to_save": ["norm"], "trainable_token_indices": [3]}
    save_adapter(tmp_path / "adapter", wide, targets=("q_proj",), **settings)
    found = merge(families, tmp_path / "adapter")
    assert "model.norm.weight (32 instead of 64)" in found
    assert "rows of model.embed_tokens.weight (1 x 32 instead of 1 x 64)" in found


def test_a_base_that_is_not_whole_is_refused_as_ever(adapter: Path, llama: Path, tmp_path: Path) -> None:
    tensors = load_file(llama / "model.safetensors")
    del tensors["model.embed_tokens.weight"]
    save_file(tensors, llama / "model.safetensors")
    with pytest.raises(ConversionRefused, match=r"1 missing: model\.embed_tokens\.weight"):
        convert(Request(str(llama), tmp_path / "a.gguf", adapter=str(adapter)))


@pytest.mark.parametrize(
    ("wish", "option"),
    [({"adapter": "x"}, "--adapter"), ({"verify": True}, "--verify")],
)
def test_an_adapter_as_the_source_takes_no_wishes_of_a_model(
    wish: dict[str, Any], option: str, adapter: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match=f"for which there is no {option}"):
        convert(Request(str(adapter), tmp_path / "a.gguf", **wish))


def test_a_model_as_the_source_has_no_base(families: Families, tmp_path: Path) -> None:
    folder = str(families["llama"].folder)
    with pytest.raises(InvalidRequest, match="is no adapter, so it has no base"):
        convert(Request(folder, tmp_path / "a.gguf", base=folder))


def test_a_checkpoint_beside_an_adapter_s_config_is_a_checkpoint(llama: Path, adapter: Path, tmp_path: Path) -> None:
    (llama / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    assert convert(Request(str(llama), tmp_path / "a.gguf")).manifest.type == "F16"
    with pytest.raises(ConversionRefused, match="has a whole model, so it is no adapter"):
        convert(Request(str(llama), tmp_path / "b.gguf", adapter=str(llama)))


def test_the_head_s_tensors_are_no_use_without_one(families: Families, tmp_path: Path) -> None:
    """An adapter for a classifier holds the classifier, which the base does not have."""
    family = families["llama"]
    save_checkpoint(tmp_path / "base", family.model, family.tokenizer)
    save_adapter(tmp_path / "adapter", family.model, targets=("q_proj",))
    change_weights(tmp_path / "adapter", lambda t: t.update({"base_model.model.score.weight": torch.zeros(2, 64)}))
    assert "1 that it does not have: score.weight" in merge(families, tmp_path / "adapter")
