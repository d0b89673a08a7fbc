"""`demotic quantize`, and conversions to types that llama.cpp's quantizer makes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import demotic
from converters.convert import Request, convert
from converters.gguf.quantize import MIXTURES, TENSOR_TYPES, Quantization, quantize
from runtime.errors import ConversionRefused, InvalidRequest, ModelFileInvalid
from runtime.models.inspect import check_loadable, read_header
from tests.converters.families import Families
from tests.converters.parity import measure
from tests.tiny.checkpoints import save_checkpoint, tiny_llama
from tests.tiny.tokenizers import sentencepiece


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


def types_of(path: Path) -> dict[str, str]:
    header = read_header(path)
    check_loadable(header)
    return {name: tensor.type for name, tensor in header.tensors.items()}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A model whose rows K-quants can pack, in float32."""
    folder = tmp_path_factory.mktemp("wide")
    tokenizer = sentencepiece()
    model = tiny_llama(tokenizer.get_vocab_size(), hidden_size=256, intermediate_size=512)
    source = save_checkpoint(folder / "wide", model, tokenizer)
    return convert(Request(str(source), folder / "wide.gguf", "f32")).path, model


@pytest.mark.parametrize(("type_name", "most"), [("Q8_0", 0.02), ("Q6_K", 0.1), ("Q4_K_M", 0.7), ("Q4_0", 1.0)])
def test_a_model_is_smaller_and_nearly_the_same(
    type_name: str, most: float, wide: tuple[Path, Any], tmp_path: Path
) -> None:
    source, model = wide
    assert quantize(source, tmp_path / "a.gguf", Quantization(type_name)) == []
    assert read_header(tmp_path / "a.gguf").quantization == type_name
    assert (tmp_path / "a.gguf").stat().st_size < source.stat().st_size / 3
    assert measure(tmp_path / "a.gguf", model).max_kl < most


def test_every_type_that_needs_no_importance_matrix_can_be_made(wide: tuple[Path, Any], tmp_path: Path) -> None:
    made = []
    for name in MIXTURES:
        try:
            quantize(wide[0], tmp_path / f"{name}.gguf", Quantization(name))
        except ConversionRefused as refusal:
            assert "importance matrix" in str(refusal), name
        else:
            check_loadable(read_header(tmp_path / f"{name}.gguf"))
            made.append(name)
    assert {"Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS", "TQ2_0", "F16", "BF16"} <= set(made)


def test_single_tensors_get_the_types_that_are_asked_for(wide: tuple[Path, Any], tmp_path: Path) -> None:
    wanted = Quantization("Q4_0", embedding="Q8_0", output="F16", tensors={r"blk\.1\.ffn_down": "Q5_1"})
    quantize(wide[0], tmp_path / "a.gguf", wanted)
    types = types_of(tmp_path / "a.gguf")
    assert types["token_embd.weight"] == "Q8_0"
    assert types["output.weight"] == "F16"
    assert types["blk.1.ffn_down.weight"] == "Q5_1"
    assert types["blk.0.ffn_down.weight"] != "Q5_1"


def test_rows_that_do_not_fit_fall_back_with_a_line_each(families: Families, tmp_path: Path) -> None:
    source = families["llama"].converted.path  # rows of 64 and 96
    notes = quantize(source, tmp_path / "a.gguf", Quantization("Q4_K_M", embedding="Q6_K"))
    types = types_of(tmp_path / "a.gguf")
    assert "token_embd.weight is written as Q8_0: Q6_K packs 256 values, its rows have 64." in notes
    assert types["token_embd.weight"] == "Q8_0"
    assert "blk.0.attn_q.weight is written as Q5_0: Q4_K packs 256 values, its rows have 64." in notes
    assert types["blk.0.attn_q.weight"] == "Q5_0"
    # The output is Q8_0 in this mixture, wherever its rows do not fit Q6_K: llama.cpp says nothing of it.
    assert len(notes) == len([name for name in types if "norm" not in name and name != "output.weight"])


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (Quantization("Q9_9"), "There is no type 'Q9_9'. Known: F32, F16"),
        (Quantization("Q4_0", embedding="Q9_9"), "There is no type 'Q9_9' for a tensor"),
        (Quantization("IQ2_XXS"), "IQ2_XXS needs an importance matrix"),
        (Quantization("Q4_0", tensors={"ffn": "IQ1_S"}), "IQ1_S needs an importance matrix"),
        (Quantization("Q4_0", tensors={"nothing": "Q8_0"}), "has no tensor whose name matches 'nothing'"),
        (Quantization("Q4_0", tensors={"(": "Q8_0"}), "is no regular expression"),
    ],
)
def test_what_cannot_be_is_refused(wanted: Quantization, sentence: str, wide: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(ConversionRefused) as caught:
        quantize(wide[0], tmp_path / "a.gguf", wanted)
    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_quantized_file_is_quantized_again_only_on_request(wide: tuple[Path, Any], tmp_path: Path) -> None:
    quantize(wide[0], tmp_path / "a.gguf", Quantization("Q8_0"))
    with pytest.raises(ConversionRefused, match=r"is in Q8_0 already.*--requantize"):
        quantize(tmp_path / "a.gguf", tmp_path / "b.gguf", Quantization("Q4_0"))
    quantize(tmp_path / "a.gguf", tmp_path / "b.gguf", Quantization("Q4_0"), requantize=True)
    assert types_of(tmp_path / "b.gguf")["blk.0.attn_q.weight"] == "Q4_0"


def test_the_command_keeps_what_the_source_was_made_from(families: Families, tmp_path: Path) -> None:
    source, target = families["llama"].converted.path, tmp_path / "a.gguf"
    result = run("quantize", str(source), str(target), "--type", "q8_0", "--tensor-type", "attn_v=F16")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{target} (")
    manifest = json.loads((tmp_path / "a.gguf.manifest.json").read_text(encoding="utf-8"))
    assert (manifest["made_from"], manifest["type"]) == ("tiny-llama", "Q8_0")
    assert manifest["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert types_of(target)["blk.0.attn_v.weight"] == "F16"
    again = run("quantize", str(source), str(target), "--type", "q8_0")
    assert isinstance(again.exception, ConversionRefused)
    told = json.loads(run("quantize", str(source), str(target), "--type", "Q4_0", "--force", "--json").stdout)
    assert told["type"] == "Q4_0"


def test_the_command_refuses_what_it_cannot_read(families: Families, tmp_path: Path) -> None:
    source = str(families["llama"].converted.path)
    same = run("quantize", source, source, "--type", "Q8_0", "--force")
    assert isinstance(same.exception, InvalidRequest)
    odd = run("quantize", source, str(tmp_path / "a.gguf"), "--type", "Q8_0", "--tensor-type", "ffn")
    assert isinstance(odd.exception, InvalidRequest)
    gone = run("quantize", str(tmp_path / "no.gguf"), str(tmp_path / "a.gguf"), "--type", "Q8_0")
    assert isinstance(gone.exception, ModelFileInvalid)
    assert list(tmp_path.iterdir()) == []


def test_a_conversion_goes_to_any_type_at_once(families: Families, tmp_path: Path) -> None:
    folder = families["llama"].folder
    done = convert(Request(str(folder), tmp_path / "a.gguf", "q5_0"))
    assert (done.manifest.type, read_header(done.path).quantization) == ("Q5_0", "Q5_0")
    assert done.manifest.sha256 == hashlib.sha256(done.path.read_bytes()).hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "a.gguf.manifest.json"]
    quantize(families["llama"].converted.path, tmp_path / "b.gguf", Quantization("Q5_0"))
    assert types_of(tmp_path / "b.gguf") == types_of(done.path)
    with pytest.raises(ConversionRefused, match="There is no type"):
        convert(Request(str(folder), tmp_path / "c.gguf", "q9_9"))


def test_there_is_no_type_that_llama_cpp_keeps_for_itself() -> None:
    assert not {"Q8_1", "Q8_K", "I8", "F64"} & set(TENSOR_TYPES)
