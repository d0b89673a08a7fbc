"""LoRAs merged straight into GGUF files of every type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

import gguf
import numpy as np
import numpy.typing as npt
import pytest

from converters.arithmetic.changes import read_changes
from converters.arithmetic.requantize import Changed
from converters.gguf.encode import decoded, encoded
from converters.gguf.quantize import Quantization, quantize
from converters.served import ServedModel
from runtime.models.gguf_format import GGML_TYPES, parse
from runtime.models.provenance import provenance_path
from tests.converters.arithmetic.commands import refusal, run
from tests.converters.families import Families
from tests.converters.parity import assert_same
from tests.tiny.adapters import save_adapter
from tests.tiny.encoders import tiny_bert, write_encoder
from tests.tiny.gguf import write_tiny_gguf, write_tiny_lora
from tests.tiny.seq2seq import tiny_t5, write_seq2seq

Float64Array: TypeAlias = npt.NDArray[np.float64]

TARGETS = ("attn_q", "ffn_down")
CHANGED = {f"blk.{block}.{name}.weight" for block in (0, 1) for name in TARGETS}
# By type, the most that one of its tensors may differ from the float sum, and logits from the base with the adapter.
TYPES = {"F32": (1e-7, 1e-6), "F16": (1e-3, 1e-3), "Q8_0": (0.01, 0.01), "Q4_K_M": (0.1, 0.5), "IQ4_NL": (0.1, 0.5)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in float32 whose rows are whole blocks of every type."""
    path = tmp_path_factory.mktemp("whole") / "whole.gguf"
    return write_tiny_gguf(path, embedding_length=256, feed_forward_length=512, context_length=512)


@pytest.fixture(scope="module")
def lora(whole: Path) -> Path:
    return write_tiny_lora(whole.with_name("lora.gguf"), whole, targets=TARGETS)


def values(path: Path) -> dict[str, Float64Array]:
    return {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in gguf.GGUFReader(path).tensors
    }


def stored(path: Path) -> dict[str, tuple[str, bytes]]:
    return {tensor.name: (tensor.tensor_type.name, tensor.data.tobytes()) for tensor in gguf.GGUFReader(path).tensors}


def product(lora: Path, name: str) -> Float64Array:
    """What a LoRA of alpha = rank adds."""
    matrices = {tensor.name: np.array(tensor.data, np.float64) for tensor in gguf.GGUFReader(lora).tensors}
    change: Float64Array = matrices[f"{name}.lora_b"] @ matrices[f"{name}.lora_a"]
    return change


@pytest.mark.parametrize("type_name", TYPES)
def test_only_what_is_changed_is_quantized_anew_and_the_loss_is_told(
    type_name: str, whole: Path, lora: Path, tmp_path: Path
) -> None:
    base = whole
    if type_name != "F32":
        base = tmp_path / "base.gguf"
        quantize(whole, base, Quantization(type_name))
    out = tmp_path / "out.gguf"
    told = run("merge", base, lora, "-o", out, "--scale", "0.3")["merge"]
    before, after = stored(base), stored(out)
    assert {name for name in before if before[name] != after[name]} == CHANGED
    assert {name: kind for name, (kind, _) in before.items()} == {name: kind for name, (kind, _) in after.items()}
    old, new = values(base), values(out)
    most, most_kl = TYPES[type_name]
    losses = {each["name"]: each for each in told["tensors"]}
    assert losses.keys() == CHANGED
    for name, loss in losses.items():
        change = 0.3 * product(lora, name)
        wanted = old[name] + change
        size = np.linalg.norm(wanted)
        assert loss["change"] == pytest.approx(np.linalg.norm(change) / size, rel=1e-4)
        assert loss["error"] == pytest.approx(np.linalg.norm(new[name] - wanted) / size, rel=1e-3, abs=1e-7)
        assert loss["error"] < most
    assert told["proof"]["num_lines"] == 41
    assert told["proof"]["mean_kl"] < most_kl
    assert told["proof"]["mean_kl"] < told["proof"]["base_mean_kl"] / 2
    assert json.loads(provenance_path(out).read_text())["merge"] == told


def test_the_own_error_is_about_what_quantizing_cost(whole: Path, lora: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.gguf"
    quantize(whole, base, Quantization("Q4_K_M"))
    floats, rounded = values(whole), values(base)
    losses = run("merge", base, lora, "-o", tmp_path / "out.gguf", "--no-verify")["merge"]["tensors"]
    for loss in losses:
        name = loss["name"]
        real = np.linalg.norm(rounded[name] - floats[name]) / np.linalg.norm(floats[name])
        assert loss["own"] == pytest.approx(real, rel=0.15)


def test_every_type_is_decoded_as_the_gguf_package_does() -> None:
    random = np.random.default_rng(0)
    known = {kind.value for kind in gguf.GGMLQuantizationType}
    unread = {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64", "Q1_0"}
    found = {number: name for number, (name, _, _) in GGML_TYPES.items() if number in known and name not in unread}
    assert len(found) > 24
    for number in found:
        _, block_values, block_bytes = GGML_TYPES[number]
        data = random.integers(0, 0x3C, (4, 512 // block_values * block_bytes), np.uint8)  # scales are numbers
        assert np.array_equal(decoded(data, number), gguf.dequantize(data, gguf.GGMLQuantizationType(number)))


def test_a_type_that_must_be_told_what_matters_takes_all_columns_alike() -> None:
    rows = (np.random.default_rng(0).standard_normal((4, 512)) * 0.05).astype(np.float32)
    for kind in (gguf.GGMLQuantizationType.IQ2_XXS, gguf.GGMLQuantizationType.Q3_K):
        found = decoded(encoded(rows, kind, "a").view(np.uint8).reshape(4, -1), kind)
        assert np.linalg.norm(found - rows) / np.linalg.norm(rows) < 0.45


def test_several_adapters_are_as_they_are_beside_the_base(whole: Path, lora: Path, tmp_path: Path) -> None:
    other = write_tiny_lora(
        tmp_path / "other.gguf", whole, targets=("attn_q", "ffn_up"), rank=8, seed=5,
        metadata={"adapter.lora.alpha": 4.0},
    )  # fmt: skip
    out = tmp_path / "out.gguf"
    run("merge", whole, lora, other, "-o", out, "--scale", "0.5,-0.2")
    tokens = list(range(5, 45))
    base, merged = ServedModel(whole), ServedModel(out)
    try:
        alone = base.logits(tokens)
        base.attach([(lora, 0.5), (other, -0.2)])
        base.adapt(is_adapted=True)
        wanted = base.logits(tokens)
        assert np.abs(wanted - alone).max() > 0.5
        assert np.abs(merged.logits(tokens) - wanted).max() < 1e-3
        base.adapt(is_adapted=False)
        assert np.array_equal(base.logits(tokens), alone)
    finally:
        base.close()
        merged.close()


def test_experts_are_changed_each_by_its_own_matrices(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    name = "blk.0.ffn_up_exps.weight"
    matrices = {name: (3, 8, 64), f"{name}.lora_a": (3, 2, 64), f"{name}.lora_b": (3, 8, 2)}
    tensors = {each: random.standard_normal(shape, np.float32) for each, shape in matrices.items()}
    base, lora = tmp_path / "base.gguf", tmp_path / "lora.gguf"
    for path, names in ((base, [name]), (lora, list(matrices)[1:])):
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_float32("adapter.lora.alpha", 6.0)
        for each in names:
            writer.add_tensor(each, tensors[each])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    change = read_changes([(lora, 0.5)])[name]
    changed = Changed(base, parse(base).tensors[name], change)
    found = np.frombuffer(b"".join(changed.blocks()), np.float32).reshape(3, 8, 64)
    wanted = tensors[name] + 1.5 * tensors[f"{name}.lora_b"] @ tensors[f"{name}.lora_a"]
    assert np.allclose(found, wanted, atol=1e-5)


def test_an_encoder_decoder_is_merged_and_compared_too(tmp_path: Path) -> None:
    base = write_seq2seq(tmp_path / "t5.gguf", tiny_t5())
    lora = write_tiny_lora(tmp_path / "lora.gguf", base, targets=("attn_q", "attn_v"))
    proof = run("merge", base, lora, "-o", tmp_path / "out.gguf")["merge"]["proof"]
    assert proof["mean_kl"] < 1e-6 < proof["base_mean_kl"]


@pytest.mark.parametrize("name", ["llama", "llama-biased", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"])
def test_an_adapter_of_peft_goes_into_a_gguf_that_says_what_it_is_of(
    name: str, families: Families, tmp_path: Path
) -> None:
    family = families[name]
    adapted = save_adapter(tmp_path / "adapter", family.model, base="/elsewhere/llama")
    run("merge", family.converted.path, tmp_path / "adapter", "-o", tmp_path / "out.gguf", "--no-verify")
    assert_same(tmp_path / "out.gguf", adapted, within=family.recipe.within)


def test_embedding_and_head_of_an_adapter_of_peft_go_into_a_gguf(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    adapted = save_adapter(tmp_path / "adapter", family.model, targets=("embed_tokens", "q_proj", "lm_head"))
    run("merge", family.converted.path, tmp_path / "adapter", "-o", tmp_path / "out.gguf")
    assert_same(tmp_path / "out.gguf", adapted, within=1e-4)


def test_of_other_families_an_adapter_of_peft_needs_its_base(families: Families, tmp_path: Path) -> None:
    family = families["gpt_neox"]
    adapted = save_adapter(tmp_path / "adapter", family.model, base="/elsewhere/llama")
    out = tmp_path / "out.gguf"
    text = refusal("merge", family.converted.path, tmp_path / "adapter", "-o", out, left=tmp_path)
    assert "names /elsewhere/llama as its base, which is not here. Say which it is: --base" in text
    run("merge", family.converted.path, tmp_path / "adapter", "-o", out, "--base", family.folder)
    assert_same(out, adapted, within=family.recipe.within)


def test_a_type_that_is_too_coarse_is_refused(whole: Path, lora: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.gguf"
    quantize(whole, base, Quantization("Q4_0"))
    weak = ("--scale", "0.0005")
    text = refusal("merge", base, lora, "-o", tmp_path / "out.gguf", *weak, left=tmp_path)
    assert "no nearer to the base with its adapters than the base alone" in text
    run("merge", base, lora, "-o", tmp_path / "out.gguf", *weak, "--no-verify")


def test_what_does_not_fit_is_refused(whole: Path, lora: Path, tmp_path: Path) -> None:
    narrow = write_tiny_gguf(tmp_path / "narrow.gguf")
    encoder = write_encoder(tmp_path / "bert.gguf", tiny_bert())
    out = tmp_path / "out.gguf"
    assert "do not fit" in refusal("merge", narrow, lora, "-o", out, left=tmp_path)
    assert "is no LoRA adapter" in refusal("merge", whole, narrow, "-o", out, left=tmp_path)
    assert "gives vectors or scores" in refusal("merge", encoder, lora, "-o", out, left=tmp_path)
    assert "is a GGUF; models are added up" in refusal(
        "merge", narrow, narrow, "-o", out, "--weights", "1,1", left=tmp_path
    )
    assert "There are 1 adapters and 2 scales" in refusal(
        "merge", whole, lora, "-o", out, "--scale", "1,2", left=tmp_path
    )
    before = narrow.read_bytes()
    assert "is a file to read from" in refusal("merge", narrow, lora, "-o", narrow, "--force", left=tmp_path)
    assert narrow.read_bytes() == before
    stamped = write_tiny_lora(tmp_path / "stamped.gguf", whole, metadata={"demotic.adapter.vocabulary": "0" * 64})
    assert "another vocabulary" in refusal("merge", whole, stamped, "-o", out, left=tmp_path)


def test_an_interrupted_run_leaves_nothing(
    whole: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("converters.arithmetic.gguf.prove", interrupted)  # when the file has been written
    with pytest.raises(AssertionError):
        run("merge", whole, lora, "-o", tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []
