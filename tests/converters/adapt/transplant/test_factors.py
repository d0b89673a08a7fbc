"""OFA on a tiny XLM-RoBERTa: the factors of its embedding, new tokens in them, and the graphs of that."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from converters.adapt.transplant.ofa import NEIGHBOURS
from converters.adapt.transplant.overlap import overlap
from converters.adapt.transplant.transplant import Transplanted
from converters.adapt.transplant.vocabulary import Vocabulary
from converters.checkpoint import open_checkpoint
from converters.factors import COORDINATES, EMBEDDING, HEAD_BIAS, PRIMITIVES, TIED, expanded, factorise
from converters.onnx.export import Request, export
from converters.onnx.quantize import Request as ShrinkRequest
from converters.onnx.quantize import Shrinking, quantize
from converters.onnx.session import Session
from converters.tensors import of_array
from runtime.errors import ConversionRefused, InvalidRequest, UnsupportedArchitecture
from tests.converters.adapt.transplant.toys import named, read, run, saved, vocabulary, write_vectors
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.serving import serving_here
from tests.tiny import encoder_tokenizers
from tests.tiny import tokenizers as tiny_tokenizers

RANK = 4
TEXT = "Столицата на България е <mask>."


@dataclass(frozen=True)
class Case:
    """A transplant with its two sides."""

    done: Transplanted
    old: Vocabulary
    new: Vocabulary
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def target_tokenizer() -> Any:
    """XLM-RoBERTa's, of fewer pieces: so most tokens are in both."""
    library = tiny_tokenizers.unigram(size=420, opening="<s>")
    library.add_special_tokens(["<mask>"])
    return library


@pytest.fixture(scope="module")
def case(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("ofa")
    old, new = vocabulary(encoder_tokenizers.sentencepiece()), vocabulary(encoder_tokenizers.byte_level())
    random = np.random.default_rng(0)
    words = {
        word for library in (old, new) for form in library.forms if form for word in form.split() if word.isalpha()
    }
    vectors = {f"eng:{word}": random.normal(size=8).round(3).tolist() for word in sorted(words) if len(word) > 1}
    options: Any = {"method": "ofa", "vectors": write_vectors(folder / "v.txt", vectors), "rank": RANK}
    source = named(sources.checkpoint("xlmr-mlm"), folder / "xlmr")
    done = run(source, saved(encoder_tokenizers.byte_level(), folder / "bytes.json"), folder / "xlmr-ofa", **options)
    return Case(done, old, new, load_file(source / "model.safetensors"), load_file(done.path / "model.safetensors"))


def test_s31_the_factors_of_full_rank_are_the_embedding() -> None:
    table = np.random.default_rng(0).normal(size=(90, 16)).astype(np.float32)
    factors = factorise(of_array(table), 16)
    assert factors.coordinates.whole() @ factors.primitives == pytest.approx(table, abs=1e-5)
    assert factors.kept == pytest.approx(1)
    u, s, v = np.linalg.svd(table, full_matrices=False)
    small = factorise(of_array(table), RANK)
    assert small.coordinates.whole() @ small.primitives == pytest.approx((u[:, :RANK] * s[:RANK]) @ v[:RANK], abs=1e-4)
    assert np.abs(small.coordinates.whole()) == pytest.approx(np.abs(u[:, :RANK]), abs=1e-4)
    assert small.kept == pytest.approx((s[:RANK] ** 2).sum() / (s**2).sum())


def test_s31_a_table_of_a_lower_rank_has_no_noise_in_its_factors() -> None:
    random = np.random.default_rng(0)
    table = (random.normal(size=(50, 3)) @ random.normal(size=(3, 8))).astype(np.float32)
    factors = factorise(of_array(table), 8)
    assert factors.coordinates.whole() @ factors.primitives == pytest.approx(table, abs=1e-5)
    assert np.abs(factors.coordinates.whole()).max() <= 1


def test_s31_the_factorised_checkpoint_has_the_published_layout_and_as_many_parameters(case: Case) -> None:
    width, rows = case.before[EMBEDDING].shape[1], len(case.new)
    assert case.after[COORDINATES].shape == (rows, RANK) and case.after[PRIMITIVES].shape == (width, RANK)
    assert case.after[HEAD_BIAS].shape == (rows,)
    config = read(case.done.path / "config.json")
    assert config["architectures"] == ["XLMRobertaAssembledForMaskedLM"] and config["num_primitive"] == RANK
    vocabulary_parameters = case.after[COORDINATES].size + case.after[PRIMITIVES].size
    assert vocabulary_parameters == rows * RANK + RANK * width
    assert case.done.report.parameters[1] == vocabulary_parameters + rows  # and the bias of each token
    assert EMBEDDING not in case.after and "lm_head.decoder.weight" not in case.after


def test_s31_tokens_of_both_are_copied_and_others_lie_among_their_neighbours(case: Case) -> None:
    factors = factorise(of_array(case.before[EMBEDDING]), RANK).coordinates.whole()
    shared = overlap(case.old, case.new)
    assert len(shared) > 100
    for token, (near, _) in shared.items():
        if token not in case.new.roles.values():
            assert np.array_equal(case.after[COORDINATES][token], factors[near])
            assert case.after[HEAD_BIAS][token] == case.before["lm_head.bias"][near]
    counts = case.done.report.counts
    assert counts["mixed"] > 10 and counts["drawn"] > 10


def test_s31_mixed_rows_are_sums_of_ten_old_ones_by_positive_weights(sources: Sources, tmp_path: Path) -> None:
    options: Any = {"method": "ofa", "vectors": write_vectors(tmp_path / "v.txt", {"кот": [1.0, 0.2], "the": [0.3, 1]})}
    done = run(
        sources.checkpoint("xlmr-mlm"),
        saved(encoder_tokenizers.byte_level(), tmp_path / "b.json"),
        tmp_path / "out",
        **options,
    )
    before = load_file(sources.checkpoint("xlmr-mlm") / "model.safetensors")
    after = load_file(done.path / "model.safetensors")
    plan = done.plan
    mixed = [at for at, row in enumerate(plan.rows) if row.kind == "mixed"]
    assert mixed
    for token in mixed:
        row = plan.rows[token]
        assert len(set(row.old.tolist())) == NEIGHBOURS and (row.weights > 0).all()
        assert row.weights.sum() == pytest.approx(1)
        weights, *_ = np.linalg.lstsq(before[EMBEDDING][row.old].T, after[EMBEDDING][token], rcond=None)
        assert weights == pytest.approx(row.weights, abs=1e-4)


def test_s31_graphs_keep_the_factors_and_compute_what_the_checkpoint_does(case: Case, tmp_path: Path) -> None:
    done = export(Request(str(case.done.path), tmp_path / "onnx"))
    graph = onnx.load(done.path / "model.onnx").graph
    rows, width = len(case.new), case.before[EMBEDDING].shape[1]
    shapes = [tuple(each.dims) for each in graph.initializer]
    assert shapes.count((rows, RANK)) == 1 and (RANK, rows) not in shapes and (rows, width) not in shapes
    tables = {each.name for each in graph.initializer if tuple(each.dims) == (rows, RANK)}
    gather = next(node for node in graph.node if node.op_type == "Gather" and node.input[0] in tables)
    (after,) = [node for node in graph.node if gather.output[0] in node.input]
    assert after.op_type == "MatMul"

    ids = case.new.encode(TEXT)
    inputs = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
    found = Session(done.path / "model.onnx").compute(inputs)["logits"]
    dense = expanded(open_checkpoint(str(case.done.path)))
    config = transformers.XLMRobertaConfig(**{**dense.config.values, "architectures": None})
    kind: Any = transformers.XLMRobertaForMaskedLM
    model = kind(config)
    values = {name: torch.tensor(tensor.whole()) for name, tensor in dense.tensors.items()}
    told = model.load_state_dict(values, strict=False)
    assert set(told.missing_keys) <= {"lm_head.decoder.weight", "lm_head.decoder.bias"}
    model.tie_weights()
    with torch.no_grad():
        wanted = model.eval()(input_ids=torch.tensor([ids])).logits.numpy()
    assert found == pytest.approx(wanted, abs=2e-4)

    whole = export(Request(str(case.done.path), tmp_path / "dense", dense=True))
    assert Session(whole.path / "model.onnx").compute(inputs)["logits"] == pytest.approx(wanted, abs=2e-4)
    assert (whole.path / "model.onnx").stat().st_size - (done.path / "model.onnx").stat().st_size > rows * (
        width - 8
    ) * 4

    small = quantize(ShrinkRequest(done.path, tmp_path / "int8", Shrinking("int8", languages=["bul", "eng"])))
    kept = {tuple(each.dims): each.data_type for each in onnx.load(small.path / "model.onnx").graph.initializer}
    assert kept[(rows, RANK)] == onnx.TensorProto.UINT8

    with serving_here({"ofa": done.path, "ofa-int8": small.path}) as client:
        for name in ("ofa", "ofa-int8"):
            answer = client.post("/v1/fill-mask", json={"model": name, "input": TEXT, "top_k": 3}).json()
            (guesses,) = answer["data"][0]["masks"]
            if name == "ofa":
                at = ids.index(case.new.roles["mask"])
                assert [each["token"] for each in guesses] == np.argsort(-wanted[0, at])[:3].tolist()


def test_s31_files_as_they_are_published_name_both_factors_twice(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    shutil.copytree(case.done.path, folder)
    values = {name: torch.tensor(value) for name, value in case.after.items()}
    values |= {tied: values[name] for tied, name in TIED.items()}
    torch.save(values, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    ids = np.array([case.new.encode(TEXT)])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    found, wanted = (
        Session(export(Request(str(source), tmp_path / f"{at}-onnx")).path / "model.onnx").compute(inputs)["logits"]
        for at, source in enumerate((folder, case.done.path))
    )
    assert np.array_equal(found, wanted)
    done = run(folder, saved(target_tokenizer(), tmp_path / "t.json"), tmp_path / "again")
    after = load_file(done.path / "model.safetensors")
    assert all(np.array_equal(after[tied], after[name]) for tied, name in TIED.items())


def test_a_factorised_checkpoint_gets_a_tokenizer_like_any_other(case: Case, tmp_path: Path) -> None:
    done = run(case.done.path, saved(target_tokenizer(), tmp_path / "t.json"), tmp_path / "again")
    after = load_file(done.path / "model.safetensors")
    new = vocabulary(target_tokenizer())
    for token, (near, _) in overlap(case.new, new).items():
        if token not in new.roles.values():
            assert np.array_equal(after[COORDINATES][token], case.after[COORDINATES][near])
    assert np.array_equal(after[PRIMITIVES], case.after[PRIMITIVES])
    assert export(Request(str(done.path), tmp_path / "onnx")).manifest.parity


def test_a_rank_is_refused_where_there_is_no_such_form(case: Case, sources: Sources, tmp_path: Path) -> None:
    target = saved(encoder_tokenizers.byte_level(), tmp_path / "b.json")
    options: Any = {"method": "ofa", "vectors": write_vectors(tmp_path / "v.txt", {"a": [1.0]})}
    with pytest.raises(UnsupportedArchitecture, match="no class with two factors"):
        run(sources.checkpoint("llama"), target, tmp_path / "a", rank=4, **options)
    with pytest.raises(InvalidRequest, match="no rank of 65"):
        run(sources.checkpoint("xlmr-mlm"), target, tmp_path / "a", rank=65, **options)
    with pytest.raises(InvalidRequest, match="embedding of one matrix"):
        export(Request(str(sources.checkpoint("xlmr-mlm")), tmp_path / "a", dense=True))
    broken = {name: value for name, value in case.after.items() if name != PRIMITIVES}
    shutil.copytree(case.done.path, tmp_path / "broken")
    save_file(broken, tmp_path / "broken" / "model.safetensors")
    with pytest.raises(ConversionRefused, match="of the same rank"):
        export(Request(str(tmp_path / "broken"), tmp_path / "a"))
    assert not (tmp_path / "a").exists()
