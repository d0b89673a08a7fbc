"""llama.cpp computes T5's family as transformers does, and its traps are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import ByT5Tokenizer

from converters.architectures.options import Options
from converters.architectures.registry import architecture_of
from converters.architectures.t5 import T5
from converters.bytes import decode_bytes
from converters.checkpoint import open_checkpoint
from converters.convert import Request, convert
from converters.likelihood import kl_divergences
from converters.probes import LINES, PROBES
from converters.tokenizers import read_tokenizer
from runtime.errors import ConversionRefused
from runtime.model import load
from runtime.models.inspect import read_header
from tests.converters.seq2seq import Computed, wanted_logits, written
from tests.tiny.checkpoints import save_checkpoint, tiny_byt5, tiny_mt5, tiny_t5
from tests.tiny.flax import to_flax
from tests.tiny.tokenizers import unigram

RELU, GATED_GELU = 1e-4, 0.1
NUM_GREEDY = 40


def saved_bytes(folder: Path, model: Any) -> Path:
    """As the hub keeps ByT5: no tokenizer.json."""
    model.save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    return folder


def saved(kind: str, folder: Path) -> tuple[Path, Any]:
    if kind == "byt5":
        model = tiny_byt5()
        return saved_bytes(folder, model), model
    tokenizer = unigram()
    model = {"t5": tiny_t5, "mt5": tiny_mt5}[kind](tokenizer.get_vocab_size())
    return save_checkpoint(folder, model, tokenizer), model


def compared(path: Path, model: Any) -> tuple[Any, Any, Computed]:
    random = np.random.default_rng(1)
    rows = model.config.vocab_size
    source, target = random.integers(3, rows, 37).tolist(), [0, *random.integers(3, rows, 20).tolist()]
    ours = Computed(path)
    return ours.logits(source, target), wanted_logits(model, source, target), ours


@pytest.mark.parametrize(("kind", "within"), [("t5", RELU), ("mt5", GATED_GELU), ("byt5", GATED_GELU)])
def test_logits_and_greedy_text_are_those_of_the_source(kind: str, within: float, tmp_path: Path) -> None:
    folder, model = saved(kind, tmp_path / "tiny")
    found, wanted, ours = compared(written(folder, tmp_path / "a.gguf"), model)
    try:
        assert np.abs(found - wanted).max() < within
        assert kl_divergences(wanted, found).max() < 1e-3
        source, texts = [7, 8, 9, 1], ([0], [0])
        for _ in range(NUM_GREEDY):
            texts[0].append(int(ours.logits(source, texts[0])[-1].argmax()))
            texts[1].append(int(wanted_logits(model, source, texts[1])[-1].argmax()))
        assert texts[0] == texts[1]
    finally:
        ours.close()


@pytest.mark.parametrize("kind", ["t5", "mt5"])
def test_the_runtime_answers_as_the_source(kind: str, tmp_path: Path) -> None:
    folder, model = saved(kind, tmp_path / "tiny")
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    text = LINES["bul_Cyrl"]
    tokenizer = read_tokenizer(open_checkpoint(str(folder)), model.config.vocab_size)
    source, wanted = tokenizer.encode(text), [0]
    while len(wanted) < 9 and wanted[-1] != 1:
        wanted.append(int(wanted_logits(model, source, wanted)[-1].argmax()))
    with load(str(done.path)) as opened:
        answer = opened.complete(text, max_tokens=8, temperature=0)
    assert answer.text.strip() == tokenizer.decode(wanted).strip()


def test_bytes_are_converted_whole(tmp_path: Path) -> None:
    folder, _ = saved("byt5", tmp_path / "tiny")
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    assert done.manifest.tokenizer["kind"] == "rwkv"
    assert done.manifest.tokenizer["different"] == 0
    header = read_header(done.path)
    assert (header.metadata["t5.block_count"], header.metadata["t5.decoder_block_count"]) == (4, 2)


def norm_not_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(T5, "is_scaled", property(lambda self: False))


def norm_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(T5, "is_scaled", property(lambda self: True))


def head_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(T5, "head_of", lambda self, found: None)


@pytest.mark.parametrize(
    ("kind", "step_out"),
    [("t5", norm_not_scaled), ("mt5", norm_scaled), ("mt5", head_left_out)],
)
def test_parity_shows_a_step_that_is_left_out(
    kind: str, step_out: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, model = saved(kind, tmp_path / "tiny")
    step_out(monkeypatch)
    found, wanted, ours = compared(written(folder, tmp_path / "a.gguf"), model)
    ours.close()
    assert kl_divergences(wanted, found).max() > 1e-2


def test_the_bytes_of_byt5_are_those_of_transformers(tmp_path: Path) -> None:
    folder = saved_bytes(tmp_path / "tiny", tiny_byt5())
    tokenizer = read_tokenizer(open_checkpoint(str(folder)), 384)
    reference: Any = ByT5Tokenizer()
    for text in (probe.text for probe in PROBES):
        assert tokenizer.encode(text) == reference(text).input_ids
        assert decode_bytes(tokenizer.encode(text)) == text
    tokens = tokenizer.entries["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    for name in ("<pad>", "</s>", "<unk>", "<extra_id_0>", "<extra_id_124>"):
        assert tokens[reference.convert_tokens_to_ids(name)] == rf"\xff\xfe{name}"
    assert len(tokens) == len(reference)


def test_monobyte_is_read_from_flax_without_any_tokenizer_file(tmp_path: Path) -> None:
    folder = saved_bytes(tmp_path / "tiny", tiny_byt5())
    (folder / "tokenizer_config.json").unlink()
    wanted = read_header(written(folder, tmp_path / "a.gguf"))
    to_flax(folder)
    found = written(folder, tmp_path / "b.gguf")
    assert found.read_bytes() == (tmp_path / "a.gguf").read_bytes()
    assert wanted.metadata["tokenizer.ggml.model"] == "rwkv"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"feed_forward_proj": "gated-silu"}, "has the activation 'gated-silu'"),
        ({"num_decoder_layers": 9}, "has a decoder of 9 layers over an encoder of 2"),
        ({"architectures": ["UMT5ForConditionalGeneration"]}, "The nearest that is: MT5ForConditionalGeneration"),
    ],
)
def test_what_llama_cpp_does_not_compute_is_refused(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    folder, _ = saved("t5", tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ConversionRefused) as caught:
        architecture_of(open_checkpoint(str(folder)), Options())
    assert sentence in str(caught.value)


def test_an_embedding_with_fewer_rows_than_bytes_is_refused(tmp_path: Path) -> None:
    folder = saved_bytes(tmp_path / "tiny", tiny_byt5(258))
    with pytest.raises(ConversionRefused, match="259 tokens at least, the embedding has 258 rows"):
        read_tokenizer(open_checkpoint(str(folder)), 258)
