"""Decoders with another tokenizer: rows in both matrices, ids, and the same figures in every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import transformers
from safetensors.numpy import load_file

from converters.convert import Request, convert
from converters.gguf.vocabulary import open_vocabulary
from converters.onnx.artefact import encode_of, open_artefact
from converters.onnx.export import Request as ExportRequest
from converters.onnx.export import export
from converters.probes import DECLARATION, LINES
from runtime.models.inspect import read_header
from tests.converters.adapt.transplant.toys import byte_level, read, run, saved, vocabulary
from tests.converters.families import EXACT
from tests.converters.parity import assert_same
from tests.tiny import encoder_tokenizers
from tests.tiny import tokenizers as tiny_tokenizers
from tests.tiny.checkpoints import save_checkpoint, tiny_llama

FILE = "model.safetensors"
IN, OUT = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture(scope="module")
def llamas(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    folder = tmp_path_factory.mktemp("llamas")

    def make(tied: bool) -> Path:
        target = folder / ("tied" if tied else "untied")
        if not target.exists():
            library = tiny_tokenizers.sentencepiece()
            model = tiny_llama(library.get_vocab_size(), tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2)
            save_checkpoint(target, model, library)
        return target

    return make


def tokenizer_of(folder: Path) -> tokenizers.Tokenizer:
    """What lies beside the weights: trained anew it would have other tokens."""
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def random_mapping(old: tokenizers.Tokenizer, new: tokenizers.Tokenizer) -> list[Any]:
    """For each new token none to four old ones; of none in each tenth."""
    random = np.random.default_rng(0)
    entries = []
    for token in range(new.get_vocab_size()):
        near = random.choice(old.get_vocab_size(), token % 5 if token % 10 else 0, replace=False)
        weights = random.dirichlet(np.ones(len(near) or 1)).tolist()
        pairs = [[old.id_to_token(int(row)), weight] for row, weight in zip(near, weights, strict=False)]
        entries.append([new.id_to_token(token), pairs])
    return entries


@pytest.mark.parametrize("tied", [False, True])
def test_s1_rows_of_both_matrices_are_the_weighted_sums_of_old_ones_and_compute_alike_in_every_format(
    tied: bool, llamas: Callable[[bool], Path], tmp_path: Path
) -> None:
    old, new = tokenizer_of(llamas(tied)), encoder_tokenizers.byte_level()
    entries = random_mapping(old, new)
    (tmp_path / "mapping.json").write_text(json.dumps(entries), encoding="utf-8")
    done = run(llamas(tied), saved(new, tmp_path / "nl.json"), tmp_path / "llama-nl", mapping=tmp_path / "mapping.json")
    before, after = load_file(llamas(tied) / FILE), load_file(done.path / FILE)
    assert set(before) == set(after) and (OUT in after) is not tied
    for name in (IN,) if tied else (IN, OUT):
        rows = [[(old.token_to_id(token), weight) for token, weight in near] for _, near in entries]
        wanted = [sum(w * before[name][row] for row, w in near) if near else before[name][0] for near in rows]
        assert after[name] == pytest.approx(np.stack(wanted), abs=1e-6)
        assert all(
            np.array_equal(after[name][at], before[name][near[0][0]]) for at, near in enumerate(rows) if len(near) == 1
        )
    assert all(np.array_equal(before[name], after[name]) for name in before if name not in (IN, OUT))
    config = read(done.path / "config.json")
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (0, 2, 1)
    assert config["vocab_size"] == len(entries) == after[IN].shape[0]

    model: Any = transformers.AutoModelForCausalLM.from_pretrained(done.path)
    theirs: Any = transformers.AutoTokenizer.from_pretrained(done.path)
    gguf = convert(Request(str(done.path), tmp_path / "nl.gguf", "f32"))
    assert_same(gguf.path, model.eval(), within=EXACT)
    graphs = export(ExportRequest(str(done.path), tmp_path / "nl-onnx"))  # refuses logits that differ
    with open_vocabulary(gguf.path) as opened:
        encode = encode_of(open_artefact(graphs.path))
        for text in LINES.values():
            ids = new.encode(text).ids
            assert ids == theirs(text).input_ids == encode(text) == opened.read.encode(text, parse_special=False)
            assert (ids[0], ids[-1]) == (0, 2)
    metadata = read_header(gguf.path).metadata
    assert metadata["tokenizer.ggml.pre"] == "gpt-2"
    for name, token in (("bos", 0), ("eos", 2)):
        assert metadata[f"tokenizer.ggml.{name}_token_id"] == token
        assert metadata[f"tokenizer.ggml.add_{name}_token"] is True


def test_s1_tokens_that_translate_to_old_ones_are_made_of_these(llamas: Callable[[bool], Path], tmp_path: Path) -> None:
    old = vocabulary(tokenizer_of(llamas(False)))
    new = byte_level(*"nacht dag Ġnacht Ġdag".split())
    words = [name for name in old.names if name and name.startswith("▁") and name[1:].isalpha()][:3]
    lines = [f"{words[0]}\tĠnacht\t-0.1\t30", f"{words[1]}\tĠnacht\t-1\t10", f"{words[2]}\tĠdag\t0\t50"]
    (tmp_path / "t.tsv").write_text("\n".join(lines), encoding="utf-8")
    options: Any = {"method": "trans-tokenization", "alignments": tmp_path / "t.tsv"}
    done = run(llamas(False), saved(new, tmp_path / "nl.json"), tmp_path / "out", **options)
    before, after = load_file(llamas(False) / FILE), load_file(done.path / FILE)
    night, one, two, day = (new.token_to_id("Ġnacht"), old.ids[words[0]], old.ids[words[1]], new.token_to_id("Ġdag"))
    for name in (IN, OUT):
        assert after[name][night] == pytest.approx(0.75 * before[name][one] + 0.25 * before[name][two], abs=1e-6)
        assert np.array_equal(after[name][day], before[name][old.ids[words[2]]])
    assert done.report.counts["mixed"] >= 1


def test_the_report_counts_rows_texts_and_neighbours(llamas: Callable[[bool], Path], tmp_path: Path) -> None:
    done = run(llamas(False), saved(encoder_tokenizers.byte_level(), tmp_path / "nl.json"), tmp_path / "out")
    told = read(done.path / "manifest.json")["transplant"]
    assert told == done.report.as_dict()
    assert sum(told["rows"].values()) == 501 and told["tokens"] == [600, 501]
    assert told["rows_copied"] == told["rows"]["exact"] + told["rows"]["special"] + told["rows"].get("case", 0)
    assert told["parameters_of_the_vocabulary"] == [2 * 600 * 64, 2 * 501 * 64]
    old, new = tokenizer_of(llamas(False)), encoder_tokenizers.byte_level()
    for name in ("bul_Cyrl", "tha_Thai"):
        counts = [len(side.encode(DECLARATION[name], add_special_tokens=False).ids) for side in (old, new)]
        assert told["fertility"][name]["tokens"] == counts
    gains = [after / before for before, after in (each["tokens"] for each in told["fertility"].values())]
    assert gains == sorted(gains) and gains[0] < 1 < gains[-1]
    assert 0 < len(told["neighbours"]) <= 5
    assert all(each["near"][0] == [each["token"], 1.0] for each in told["neighbours"] if each["kind"] == "exact")


def test_a_checkpoint_in_half_precision_stays_so(llamas: Callable[[bool], Path], tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(llamas(False)).bfloat16()
    save_checkpoint(tmp_path / "half", model, tokenizer_of(llamas(False)))
    done = run(tmp_path / "half", saved(encoder_tokenizers.byte_level(), tmp_path / "nl.json"), tmp_path / "out")
    assert done.manifest.type == "BF16"
    again: Any = transformers.AutoModelForCausalLM.from_pretrained(done.path, dtype="auto")
    assert str(again.dtype) == "torch.bfloat16" and again.config.vocab_size == 501


def test_a_folder_of_another_model_is_taken_with_its_settings(llamas: Callable[[bool], Path], tmp_path: Path) -> None:
    other = tmp_path / "roberta"
    other.mkdir()
    saved(encoder_tokenizers.byte_level(), other / "tokenizer.json")
    settings = {"tokenizer_class": "RobertaTokenizer", "cls_token": "<s>", "sep_token": "</s>", "model_max_length": 77}
    (other / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (other / "config.json").write_text(json.dumps({"eos_token_id": 2, "model_type": "roberta"}), encoding="utf-8")
    done = run(llamas(False), other, tmp_path / "out")
    assert read(done.path / "tokenizer_config.json") == settings
    config = read(done.path / "config.json")
    assert config["tokenizer_class"] == "RobertaTokenizer" and config["model_type"] == "llama"
    assert (config["cls_token_id"], config["sep_token_id"], config["bos_token_id"]) == (0, 2, 0)
    assert [path.name for path in done.path.iterdir() if "vocab" in path.name] == []
