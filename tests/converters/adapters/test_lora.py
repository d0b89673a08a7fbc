"""An adapter as a GGUF of its own: what is in it, what it is refused for, and where its base is found."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

import demotic
from converters.convert import Request, convert
from runtime.errors import ConversionRefused
from runtime.models.inspect import read_header
from runtime.models.provenance import read_provenance
from tests.converters.adapters.test_peft import change_config
from tests.converters.families import EXACT, Families
from tests.converters.parity import assert_same, measure
from tests.converters.test_convert import Failing
from tests.tiny.adapters import save_adapter


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


def values(path: Path, name: str) -> Any:
    tensor = read_header(path).tensors[name]
    return np.fromfile(path, np.float32, tensor.size // 4, offset=tensor.offset).reshape(tensor.shape[::-1])


def test_an_embedding_of_its_own_is_changed_beside_the_base(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    adapted = save_adapter(tmp_path / "adapter", family.model, targets=("embed_tokens", "lm_head", "k_proj"))
    lora = convert(Request(str(tmp_path / "adapter"), tmp_path / "lora.gguf", base=str(family.folder)))
    assert_same(family.converted.path, adapted, within=EXACT, lora=lora.path)
    assert {"token_embd.weight.lora_a", "output.weight.lora_b"} <= set(read_header(lora.path).tensors)


def test_where_one_alpha_says_it_all_the_matrices_are_peft_s_bit_for_bit(
    adapter: Path, families: Families, tmp_path: Path
) -> None:
    change_config(adapter, use_rslora=True)
    done = convert(Request(str(adapter), tmp_path / "lora.gguf", base=str(families["llama"].folder)))
    alpha = read_header(done.path).metadata["adapter.lora.alpha"]
    assert alpha == pytest.approx(8 * 4**0.5)  # alpha / sqrt(rank), times the rank that llama.cpp divides by
    stored = load_file(adapter / "adapter_model.safetensors")
    above = "base_model.model.model.layers.1.self_attn"
    assert (values(done.path, "blk.1.attn_v.weight.lora_b") == stored[f"{above}.v_proj.lora_B.weight"].numpy()).all()
    assert (values(done.path, "blk.1.attn_q.weight.lora_a") == stored[f"{above}.q_proj.lora_A.weight"].numpy()).all()
    # Rows of queries move with the base's.
    moved, kept = values(done.path, "blk.1.attn_q.weight.lora_b"), stored[f"{above}.q_proj.lora_B.weight"].numpy()
    assert not (moved == kept).all()
    assert sorted(map(tuple, moved.tolist())) == sorted(map(tuple, kept.tolist()))


@pytest.mark.parametrize("type_name", ["f16", "bf16", "q8_0"])
def test_it_can_be_stored_in_less(type_name: str, adapter: Path, families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    adapted = save_adapter(tmp_path / "wide", family.model, targets=("q_proj", "v_proj"), r=32)
    done = convert(Request(str(tmp_path / "wide"), tmp_path / "lora.gguf", type_name, base=str(family.folder)))
    assert {tensor.type for tensor in read_header(done.path).tensors.values()} == {type_name.upper()}
    assert measure(family.converted.path, adapted, lora=done.path).max_kl < 1e-2
    with pytest.raises(ConversionRefused, match=r"not written as Q4_K_M.*f32, f16, bf16, q8_0"):
        convert(Request(str(adapter), tmp_path / "b.gguf", "q4_k_m", base=str(family.folder)))


INEXACT: dict[str, tuple[dict[str, Any], str]] = {
    "DoRA": ({"use_dora": True}, "is a DoRA"),
    "modules": ({"targets": ("q_proj",), "modules_to_save": ["norm"]}, r"whole weights of its own \(model\..*norm"),
    "embeddings": ({"targets": ("embed_tokens",), "saves_embeddings": True}, r"whole weights .*embed_tokens"),
    "rows": ({"targets": ("q_proj",), "trainable_token_indices": [3]}, "holds rows of tokens"),
    "all biases": ({"targets": ("q_proj",), "bias": "all"}, r"whole weights of its own .*bias"),
    "biases of products": ({"targets": ("q_proj",), "lora_bias": True}, "adds to biases"),
    "head that is the embedding": ({"targets": ("lm_head",)}, "embedding and head are one tensor"),
    "embedding that is the head": ({"targets": ("embed_tokens",)}, "embedding and head are one tensor"),
}


@pytest.mark.parametrize("case", INEXACT)
def test_what_a_gguf_cannot_say_is_refused_and_merging_is_the_way_out(
    case: str, families: Families, tmp_path: Path
) -> None:
    family = families["qwen2"]
    settings, sentence = INEXACT[case]
    save_adapter(tmp_path / "adapter", family.model, **settings)
    with pytest.raises(ConversionRefused, match=rf"{sentence}.*demotic convert BASE --adapter"):
        convert(Request(str(tmp_path / "adapter"), tmp_path / "lora.gguf", base=str(family.folder)))
    assert not list(tmp_path.glob("*lora.gguf*"))
    merged = convert(Request(str(family.folder), tmp_path / "merged.gguf", "f32", str(tmp_path / "adapter")))
    assert merged.path.is_file()


def test_positions_are_merged_only(families: Families, tmp_path: Path) -> None:
    family = families["gpt2"]
    adapted = save_adapter(tmp_path / "adapter", family.model, targets=("wpe", "c_attn"))
    with pytest.raises(ConversionRefused, match=r"transformer\.wpe\.weight, but llama\.cpp adds nothing to it"):
        convert(Request(str(tmp_path / "adapter"), tmp_path / "lora.gguf", base=str(family.folder)))
    merged = convert(Request(str(family.folder), tmp_path / "merged.gguf", "f32", str(tmp_path / "adapter")))
    assert_same(merged.path, adapted, within=family.recipe.within)


def test_an_alpha_of_zero_would_be_taken_for_another_and_is_refused(
    adapter: Path, families: Families, tmp_path: Path
) -> None:
    change_config(adapter, lora_alpha=0)
    with pytest.raises(ConversionRefused, match="its alpha is 0"):
        convert(Request(str(adapter), tmp_path / "lora.gguf", base=str(families["llama"].folder)))


# The base


def test_the_base_that_the_adapter_names_is_found(adapter: Path, families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    change_config(adapter, base_model_name_or_path=str(family.folder))
    named = convert(Request(str(adapter), tmp_path / "a.gguf"))
    given = convert(Request(str(adapter), tmp_path / "b.gguf", base=str(family.folder)))
    assert named.manifest.sha256 == given.manifest.sha256


@pytest.mark.parametrize(
    ("base", "sentence"),
    [(None, "names no base"), ("/no/such/llama", "names /no/such/llama as its base, which is not here")],
)
def test_a_base_that_is_not_here_is_asked_for(base: str | None, sentence: str, adapter: Path, tmp_path: Path) -> None:
    change_config(adapter, base_model_name_or_path=base)
    with pytest.raises(ConversionRefused, match=f"{sentence}.*--base"):
        convert(Request(str(adapter), tmp_path / "a.gguf"))


def test_the_base_s_config_is_enough_also_where_its_weights_are_quantized(
    adapter: Path, llama: Path, tmp_path: Path
) -> None:
    for path in llama.iterdir():
        if path.name != "config.json":
            path.unlink()
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "bitsandbytes"}}))
    done = convert(Request(str(adapter), tmp_path / "a.gguf", base=str(llama)))
    assert done.manifest.architecture == "llama"


# The command


def test_the_command_names_the_file_after_the_adapter_and_show_reads_it(
    adapter: Path, families: Families, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("convert", str(adapter), "--base", str(families["llama"].folder), "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["path"], told["type"], told["made_from"]) == ("legal-F32.gguf", "F32", "legal")
    assert told["base_models"] == ["org/base"]
    assert {file["name"] for file in told["source_files"]} == {"adapter_config.json", "adapter_model.safetensors"}
    assert all(file["sha256"] for file in told["source_files"])
    assert read_provenance(tmp_path / "legal-F32.gguf")["made_from"] == "legal"
    shown = json.loads(run("show", "./legal-F32.gguf", "--json").stdout)
    assert (shown["made_from"], shown["architecture"]) == ("legal", "llama")
    again = run("convert", str(adapter), "--base", str(families["llama"].folder))
    assert isinstance(again.exception, ConversionRefused)
    assert "--force" in str(again.exception)


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_stops_it_leaves_nothing(fault: BaseException, adapter: Path, families: Families, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.gguf"
    target.parent.mkdir()
    with pytest.raises((ConversionRefused, KeyboardInterrupt)):
        convert(Request(str(adapter), target, base=str(families["llama"].folder)), Failing(fault))
    assert list(target.parent.iterdir()) == []


def test_demotic_run_answers_with_it_as_the_merged_model_does(
    adapter: Path, families: Families, tmp_path: Path
) -> None:
    family = families["llama"]
    base = str(family.converted.path)
    lora = convert(Request(str(adapter), tmp_path / "lora.gguf", base=str(family.folder))).path
    merged = convert(Request(str(family.folder), tmp_path / "merged.gguf", "f32", str(adapter))).path
    wishes = ("the cat", "--temperature", "0", "--max-tokens", "24", "--json")

    def answer(*arguments: str) -> str:
        result = run("run", *arguments, *wishes)
        assert result.exit_code == 0, result.output
        return str(json.loads(result.stdout)["text"])

    assert answer(base, "--adapter", str(lora)) == answer(str(merged)) != answer(base)
