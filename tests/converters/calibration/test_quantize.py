"""Quantization with an importance matrix: what it allows, what it spares, and which one is of the model."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from typer.testing import CliRunner

import demotic
from converters.calibration.calibrate import Request, calibrate
from converters.calibration.importance import Importance
from converters.gguf.given import GivenMatrix, read_given
from converters.gguf.quantize import Quantization, quantize
from converters.verify import Report, verify
from runtime.errors import ConversionRefused, ModelFileInvalid
from runtime.models.inspect import check_loadable, read_header
from tests.converters.calibration.conftest import Calibrable
from tests.converters.calibration.test_collect import mixture


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


@pytest.fixture(scope="module")
def given(calibrable: Calibrable, tmp_path_factory: pytest.TempPathFactory) -> GivenMatrix:
    path = tmp_path_factory.mktemp("matrix") / "imatrix.gguf"
    return read_given(calibrate(Request(calibrable.path, path, calibrable.text_options(), "tam=2")).path)


def weights_of(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in gguf.GGUFReader(path).tensors
    }


def weighted_error(source: Path, target: Path, given: GivenMatrix) -> float:
    """What quantization is to keep small: squared errors of weights, each counted as its column matters."""
    before, after = weights_of(source), weights_of(target)
    errors = [
        float(((before[name] - after[name]) ** 2 @ entry.means()[0]).sum())
        for name, entry in given.matrix.entries.items()
    ]
    return sum(errors)


@pytest.mark.parametrize("type_name", ["Q4_K_M", "Q3_K_M", "Q2_K", "Q4_0", "Q5_0", "IQ4_XS"])
def test_what_matters_loses_less_than_without(
    type_name: str, calibrable: Calibrable, given: GivenMatrix, tmp_path: Path
) -> None:
    quantize(calibrable.path, tmp_path / "plain.gguf", Quantization(type_name))
    quantize(calibrable.path, tmp_path / "spared.gguf", Quantization(type_name), given=given)
    plain = weighted_error(calibrable.path, tmp_path / "plain.gguf", given)
    spared = weighted_error(calibrable.path, tmp_path / "spared.gguf", given)
    assert 0 < spared < plain


@pytest.mark.parametrize("type_name", ["IQ2_XXS", "Q2_K_S"])
def test_types_that_need_one_can_be_made_with_it(
    type_name: str, calibrable: Calibrable, given: GivenMatrix, tmp_path: Path
) -> None:
    assert quantize(calibrable.path, tmp_path / "a.gguf", Quantization(type_name), given=given) == []
    header = read_header(tmp_path / "a.gguf")
    check_loadable(header)
    assert header.quantization == type_name
    assert header.metadata["quantize.imatrix.file"] == "imatrix.gguf"
    assert header.metadata["quantize.imatrix.dataset"] == "bul_Cyrl=bul_Cyrl.txt"
    assert header.metadata["quantize.imatrix.entries_count"] == len(given.matrix.entries)
    assert header.metadata["quantize.imatrix.chunks_count"] == given.matrix.num_chunks


def test_size_and_bits_per_byte_tell_what_quantization_costs_each_language(
    calibrable: Calibrable, given: GivenMatrix, tmp_path: Path
) -> None:
    quantize(calibrable.path, tmp_path / "a.gguf", Quantization("IQ2_XS"), given=given)
    assert (tmp_path / "a.gguf").stat().st_size < calibrable.path.stat().st_size / 3
    lines = {language: path.read_text("utf-8").splitlines()[0] for language, path in calibrable.texts.items()}
    report = verify(str(calibrable.path), str(tmp_path / "a.gguf"), lines=lines)
    assert isinstance(report, Report)
    for line in report.lines:
        before, after = line.bits_per_byte
        assert before > 1
        assert abs(after - before) < 0.5 * before
        assert after != before


def test_experts_are_quantized_each_by_its_own(tmp_path: Path) -> None:
    source = mixture(tmp_path / "moe.gguf")
    text = tmp_path / "a.txt"
    text.write_text("the world and the hundred things in it", encoding="utf-8")
    given = read_given(calibrate(Request(source, tmp_path / "im.gguf", [f"eng={text}"])).path)
    assert given.matrix.entries["blk.0.ffn_up_exps.weight"].squares.shape == (4, 64)
    for name, matrix in (("plain", None), ("spared", given)):
        quantize(source, tmp_path / name, Quantization("Q4_0"), given=matrix)
    name = "blk.0.ffn_up_exps.weight"
    means = given.matrix.entries[name].means()
    whole, plain, spared = (weights_of(path)[name] for path in (source, tmp_path / "plain", tmp_path / "spared"))
    for expert in range(4):
        before = ((whole - plain) ** 2)[expert] @ means[expert]
        after = ((whole - spared) ** 2)[expert] @ means[expert]
        assert after.sum() < before.sum()


def test_a_matrix_of_another_model_is_refused_with_what_does_not_fit(
    calibrable: Calibrable, given: GivenMatrix, tmp_path: Path
) -> None:
    entries = dict(given.matrix.entries)
    entries["blk.7.attn_q.weight"] = entries.pop("blk.1.attn_q.weight")
    entries["blk.0.attn_k.weight"] = Importance(np.ones((1, 64)), np.ones(1))
    wrong = replace(given, matrix=replace(given.matrix, entries=entries))
    with pytest.raises(ConversionRefused) as caught:
        quantize(calibrable.path, tmp_path / "a.gguf", Quantization("Q4_K_M"), given=wrong)
    assert "blk.7.attn_q.weight is not in the model" in str(caught.value)
    assert "blk.0.attn_k.weight has 64 columns, in the model 256 columns" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_a_matrix_has_nothing_of_is_told_or_refused(
    calibrable: Calibrable, given: GivenMatrix, tmp_path: Path
) -> None:
    entries = dict(given.matrix.entries)
    del entries["blk.1.ffn_up.weight"]
    less = replace(given, matrix=replace(given.matrix, entries=entries))
    notes = quantize(calibrable.path, tmp_path / "a.gguf", Quantization("Q4_K_M"), given=less)
    assert notes == ["The importance matrix has nothing of blk.1.ffn_up.weight."]
    with pytest.raises(ConversionRefused, match=r"blk\.1\.ffn_up"):
        quantize(calibrable.path, tmp_path / "b.gguf", Quantization("IQ2_XS"), given=less)
    # llama.cpp would abort the process on these.
    for wanted in (
        Quantization("Q4_K_M", embedding="IQ2_XS"),
        Quantization("Q4_K_M", tensors={"ffn_up": "IQ1_S"}),
        Quantization("Q4_K_M", tensors={"token_embd": "IQ2_XXS"}),
    ):
        with pytest.raises(ConversionRefused, match=r"needs an importance matrix, and .*imatrix\.gguf has none of"):
            quantize(calibrable.path, tmp_path / "b.gguf", wanted, given=less)
    first_counts = Quantization("Q4_K_M", tensors={"ffn_up": "Q8_0", "ffn": "IQ2_XS"})
    quantize(calibrable.path, tmp_path / "b.gguf", first_counts, given=less)
    assert read_header(tmp_path / "b.gguf").tensors["blk.1.ffn_down.weight"].type == "IQ2_XS"


def test_the_command_takes_a_matrix_and_the_manifest_tells_which(
    calibrable: Calibrable, given: GivenMatrix, tmp_path: Path
) -> None:
    words = ["quantize", str(calibrable.path), str(tmp_path / "a.gguf"), "--type", "iq2_xs"]
    refused = run(*words)
    assert isinstance(refused.exception, ConversionRefused)
    assert "IQ2_XS needs an importance matrix. Make one" in str(refused.exception)
    with_model = run(*words, "--imatrix", str(calibrable.path))
    assert isinstance(with_model.exception, ModelFileInvalid)
    assert list(tmp_path.iterdir()) == []
    assert run(*words, "--imatrix", str(given.path)).exit_code == 0
    manifest = json.loads((tmp_path / "a.gguf.manifest.json").read_text(encoding="utf-8"))
    assert manifest["imatrix"] == {
        "name": "imatrix.gguf",
        "sha256": hashlib.sha256(given.path.read_bytes()).hexdigest(),
        "languages": {"bul_Cyrl": 1.0, "tam_Taml": 2.0},
        "datasets": ["bul_Cyrl=bul_Cyrl.txt", "tam_Taml=tam_Taml.txt"],
        "chunks": given.matrix.num_chunks,
    }


def test_one_call_makes_the_same_file_as_another(calibrable: Calibrable, given: GivenMatrix, tmp_path: Path) -> None:
    """Arrays that llama.cpp reads live until it has read them: a second process has other memory."""
    quantize(calibrable.path, tmp_path / "a.gguf", Quantization("Q3_K_S"), given=given)
    words = ["quantize", str(calibrable.path), str(tmp_path / "b.gguf"), "--type", "Q3_K_S"]
    command = [sys.executable, "-m", "demotic", *words, "--imatrix", str(given.path)]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
