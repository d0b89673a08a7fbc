"""`demotic verify`: what it says of artefacts that are alike, and of those that are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import demotic
from converters.architectures.options import Options
from converters.convert import Request, convert
from converters.likelihood import kl_divergences, total_bits
from converters.probes import LINES
from converters.verify import NUM_GREEDY, Report, verify
from runtime.errors import ConversionRefused, ModelFileInvalid, ModelNotFound
from tests.converters.architectures.test_encoders import saved as saved_encoder
from tests.converters.architectures.test_t5 import saved as saved_t5
from tests.converters.families import Families
from tests.tiny.checkpoints import save_checkpoint, tiny_llama
from tests.tiny.encoders import tiny_bert, tiny_qwen3, tiny_xlm_roberta, write_encoder

SOME = {language: LINES[language] for language in ("bul_Cyrl", "jpn_Jpan", "hin_Deva")}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(demotic.make_app(), list(arguments))


def compared(first: Path, second: Path) -> Report:
    report = verify(str(first), str(second), lines=SOME)
    assert isinstance(report, Report)
    return report


def test_a_file_is_its_source_in_every_language(families: Families) -> None:
    family = families["llama"]
    report = compared(family.folder, family.converted.path)
    assert [line.language for line in report.lines] == list(SOME)
    for line in report.lines:
        assert line.has_same_ids
        assert line.max_difference < 1e-4
        assert line.max_kl < 1e-9
        assert (line.top_1, line.num_greedy) == (1.0, NUM_GREEDY)
        assert all(line.greedy_texts)  # of bytes that are no text, each decoder makes what it likes
    assert report.summary()["same_ids"] == 3


def test_two_files_of_one_source_in_different_types_are_told_apart(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    rough = convert(Request(str(family.folder), tmp_path / "a.gguf", "q8_0")).path
    summary = verify(str(family.converted.path), str(rough), lines=SOME).summary()
    assert 1e-7 < summary["mean_kl"] < 1e-2
    assert summary["max_difference"] > 1e-3


def test_another_model_of_the_same_shape_is_told(families: Families, tmp_path: Path) -> None:
    family = families["llama"]
    other = save_checkpoint(
        tmp_path / "other", tiny_llama(family.tokenizer.get_vocab_size(), rope_theta=10.0), family.tokenizer
    )
    wrong = convert(Request(str(other), tmp_path / "a.gguf", "f32")).path
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    summary = verify(str(other), str(wrong), lines=SOME).summary()
    assert summary["mean_kl"] > 1e-2
    assert summary["top_1"] < 1
    assert summary["same_greedy"] < 3


def test_other_ids_are_told(families: Families, llama: Path, tmp_path: Path) -> None:
    spec = json.loads((llama / "tokenizer.json").read_text(encoding="utf-8"))
    spec["normalizer"]["normalizers"].pop(0)  # the space in front
    (llama / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    other = convert(Request(str(llama), tmp_path / "a.gguf", "f32")).path
    report = compared(families["llama"].folder, other)
    assert [line.has_same_ids for line in report.lines] == [False] * 3
    assert report.summary()["max_difference"] < 1e-4  # of the same tokens


def test_models_of_different_vocabularies_are_not_compared(families: Families) -> None:
    with pytest.raises(ConversionRefused, match="they are not the same model"):
        verify(str(families["llama"].converted.path), str(families["qwen2"].converted.path), lines=SOME)


@pytest.mark.parametrize("kind", ["t5", "mt5", "byt5"])
def test_encoder_decoders_are_compared_with_their_source(kind: str, tmp_path: Path) -> None:
    folder, _ = saved_t5(kind, tmp_path / "tiny")
    converted = convert(Request(str(folder), tmp_path / "a.gguf", "f32")).path
    report = compared(folder, converted)
    for line in report.lines:
        assert line.has_same_ids
        assert line.max_difference < (1e-4 if kind == "t5" else 0.1)
        assert line.max_kl < 1e-3
        assert (line.top_1, line.num_greedy) == (1.0, NUM_GREEDY)


def test_an_encoder_decoder_with_other_weights_is_told_apart(tmp_path: Path) -> None:
    folder, model = saved_t5("t5", tmp_path / "tiny")
    converted = convert(Request(str(folder), tmp_path / "a.gguf", "f32")).path
    # Only the encoder: what it reads must count.
    with torch.no_grad():
        model.encoder.block[0].layer[0].SelfAttention.v.weight.mul_(-1)
    model.save_pretrained(folder)
    summary = verify(str(folder), str(converted), lines=SOME).summary()
    assert summary["mean_kl"] > 1e-3


@pytest.mark.parametrize(
    ("kind", "make", "options"),
    [
        ("bert", tiny_bert, Options(pooling="mean")),
        ("xlm-roberta", tiny_xlm_roberta, Options(pooling="cls")),
        ("qwen3", tiny_qwen3, Options(pooling="last")),
        ("bert", partial(tiny_bert, labels=3), Options()),
        ("qwen3", partial(tiny_qwen3, with_head=True), Options(is_reranker=True)),
    ],
)
def test_vectors_and_scores_are_compared_with_their_source(
    kind: str, make: Callable[[], Any], options: Options, tmp_path: Path
) -> None:
    folder = saved_encoder(tmp_path / "tiny", kind, make())
    request = Request(str(folder), tmp_path / "a.gguf", "f32", verify=True, options=options)
    parity = convert(request).manifest.parity
    assert parity is not None
    assert parity["same_ids"] == parity["languages"] == len(LINES)
    assert parity["min_cosine"] > 0.9999
    assert parity["max_difference"] < 1e-2


def test_vectors_of_another_model_are_told(tmp_path: Path) -> None:
    folder = saved_encoder(tmp_path / "tiny", "bert", tiny_bert())
    path = convert(Request(str(folder), tmp_path / "a.gguf", "f32", options=Options(pooling="mean"))).path
    other = convert(Request(str(folder), tmp_path / "b.gguf", "f32", options=Options(pooling="cls"))).path
    report = verify(str(path), str(other), lines=SOME)
    assert report.summary()["min_cosine"] < 0.99
    shown = run("verify", str(path), str(other))
    assert "smallest cosine" in shown.stdout


def test_text_and_vectors_are_not_compared(families: Families, tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "bert.gguf", tiny_bert(), pooling="mean")
    with pytest.raises(ConversionRefused, match="one gives text, one does not"):
        verify(str(path), str(families["llama"].converted.path), lines=SOME)


def test_two_checkpoints_of_vectors_are_not_compared(tmp_path: Path) -> None:
    folder = saved_encoder(tmp_path / "tiny", "bert", tiny_bert())
    with pytest.raises(ConversionRefused, match="does not say enough of how"):
        verify(str(folder), str(folder), lines=SOME)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        verify(str(tmp_path / "nothing"), str(tmp_path / "nothing"))
    with pytest.raises(ModelFileInvalid):
        verify(str(tmp_path / "nothing.gguf"), str(tmp_path / "nothing.gguf"))


@pytest.fixture
def few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converters.verify.LINES", SOME)


@pytest.mark.usefixtures("few_lines")
def test_the_command_shows_every_language_and_prints_json(families: Families) -> None:
    path = str(families["gpt2"].converted.path)
    shown = run("verify", path, path)
    assert shown.exit_code == 0
    assert all(language in shown.stdout for language in SOME)
    assert f"the same ids in {len(SOME)}, largest difference of logits 0" in shown.stdout
    told = json.loads(run("verify", path, path, "--json").stdout)
    assert told["top_1"] == 1
    assert len(told["lines"]) == len(SOME)


@pytest.mark.usefixtures("few_lines")
def test_convert_writes_how_near_it_came_into_the_manifest(families: Families, tmp_path: Path) -> None:
    source = families["llama"].folder
    result = run("convert", str(source), "-o", str(tmp_path / "a.gguf"), "--type", "f32", "--verify")
    assert result.exit_code == 0
    parity = json.loads((tmp_path / "a.gguf.manifest.json").read_text(encoding="utf-8"))["parity"]
    assert parity["same_ids"] == parity["same_greedy"] == parity["languages"] == len(SOME)
    assert parity["max_difference"] < 1e-4
    assert f"the same greedy text in {len(SOME)}." in result.stderr


def test_kl_is_that_of_its_definition() -> None:
    p, q = np.array([[0.5, 0.25, 0.25]], np.float32), np.array([[0.25, 0.25, 0.5]], np.float32)
    expected = 0.5 * np.log(2) + 0.25 * np.log(0.5)
    assert kl_divergences(np.log(p) + 3, np.log(q) - 7) == pytest.approx([expected], abs=1e-6)


def test_bits_per_byte_are_those_of_their_definition() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.125, 0.5, 0.375], [0.2, 0.2, 0.6]], np.float32))
    # The first token is given: 0.25 for token 1 after it, 0.125 for token 0 after that.
    assert total_bits(logits + 5, [2, 1, 0], has_encoder=False) == pytest.approx(2 + 3, abs=1e-5)
    # An encoder's decoder guesses the first as well.
    assert total_bits(logits, [0, 0, 2], has_encoder=True) == pytest.approx(1 + 3 - np.log2(0.6), abs=1e-5)


def test_bits_per_byte_of_a_model_are_transformers_s_loss(families: Families) -> None:
    family = families["llama"]
    report = verify(str(family.folder), str(family.converted.path), lines=SOME)
    assert isinstance(report, Report)
    for line in report.lines:
        text = SOME[line.language]
        ids = torch.tensor([family.tokenizer.encode(text).ids])
        with torch.no_grad():
            loss = float(family.model(input_ids=ids, labels=ids).loss)
        wanted = loss * (ids.shape[1] - 1) / np.log(2) / len(text.encode())
        assert line.num_bytes == len(text.encode())
        assert line.bits_per_byte == pytest.approx((wanted, wanted), rel=1e-4)
    total = sum(line.num_bytes * line.bits_per_byte[0] for line in report.lines)
    assert report.summary()["bits_per_byte"][0] == pytest.approx(total / sum(line.num_bytes for line in report.lines))
