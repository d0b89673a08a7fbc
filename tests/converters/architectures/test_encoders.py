"""Vectors and scores of converted encoders are those of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converters.architectures.options import Options
from converters.convert import Request, convert
from runtime.chat.instructions import yes_no_prompt
from runtime.engine.client import encode
from runtime.engine.messages import Encode
from runtime.errors import ConversionRefused, UnsupportedArchitecture
from runtime.models.inspect import read_header
from tests.converters.families import Families
from tests.runtime.test_embeddings import (
    MAKERS,
    TEXTS,
    TOKENIZERS,
    cosine,
    hidden_states,
    opened,
    pooled,
)
from tests.tiny.checkpoints import save_checkpoint
from tests.tiny.encoders import tiny_bert, tiny_qwen3, tiny_xlm_roberta

SPECIAL = {
    "bert": {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
    "xlm-roberta": {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
    "qwen3": {"eos_token": "<|endoftext|>"},
}
MODES = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "last": "pooling_mode_lasttoken"}


def saved(folder: Path, kind: str, model: Any) -> Path:
    tokenizer = TOKENIZERS[kind]()
    special = [token for token in SPECIAL[kind].values() if tokenizer.token_to_id(token) is not None]
    tokenizer.add_special_tokens(special)
    return save_checkpoint(folder, model, tokenizer, tokenizer_config=SPECIAL[kind])


def with_pooling(folder: Path, mode: str, layer: str = "Normalize") -> None:
    types = ["Transformer", "Pooling", layer]
    modules = [{"idx": at, "type": f"sentence_transformers.models.{name}"} for at, name in enumerate(types)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    settings = {"word_embedding_dimension": 64, **dict.fromkeys(MODES.values(), False), mode: True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_vectors_are_those_of_the_source(kind: str, pooling: str, tmp_path: Path) -> None:
    reference = MAKERS[kind]()
    folder = saved(tmp_path / f"tiny-{kind}", kind, reference)
    with_pooling(folder, MODES[pooling])
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    tokenizer = TOKENIZERS[kind]()
    with opened(done.path) as model:
        found = model.embed(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        assert cosine(vector, pooled(hidden_states(reference, tokenizer.encode(text).ids), pooling)) > 0.9999


def test_an_encoder_that_names_no_pooling_takes_the_one_asked_for(tmp_path: Path) -> None:
    folder = saved(tmp_path / "tiny", "bert", tiny_bert())
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32", options=Options(pooling="cls")))
    assert read_header(done.path).metadata["bert.pooling_type"] == 2


def test_a_decoder_without_a_head_wants_to_know_how_vectors_are_made(tmp_path: Path) -> None:
    folder = saved(tmp_path / "tiny", "qwen3", tiny_qwen3())
    with pytest.raises(ConversionRefused, match=r"has no head, so it gives no text\. .*--pooling"):
        convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    convert(Request(str(folder), tmp_path / "a.gguf", "f32", options=Options(pooling="last")))


def test_a_layer_over_the_vectors_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "tiny", "bert", tiny_bert())
    with_pooling(folder, MODES["mean"], layer="Dense")
    with pytest.raises(ConversionRefused, match=r"puts a layer over its vectors .*Dense"):
        convert(Request(str(folder), tmp_path / "a.gguf", "f32"))


def test_another_pooling_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "tiny", "bert", tiny_bert())
    with_pooling(folder, "pooling_mode_max_tokens")
    with pytest.raises(ConversionRefused, match="pools by pooling_mode_max_tokens"):
        convert(Request(str(folder), tmp_path / "a.gguf", "f32"))


def scores(path: Path, texts: list[str]) -> Any:
    with opened(path) as model:
        return np.array(encode(model.client, Encode("a", tuple(texts))).values)


@pytest.mark.parametrize(("kind", "make"), [("bert", tiny_bert), ("xlm-roberta", tiny_xlm_roberta)])
def test_a_classifier_gives_the_source_s_scores_under_its_labels(kind: str, make: Any, tmp_path: Path) -> None:
    reference = make(labels=3)
    reference.config.id2label = {0: "лошо", 1: "good", 2: "そこそこ"}
    folder = saved(tmp_path / "tiny", kind, reference)
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32"))
    labels = read_header(done.path).metadata["bert.classifier.output_labels"]
    assert list(labels) == ["лошо", "good", "そこそこ"]  # type: ignore[arg-type]
    tokenizer = TOKENIZERS[kind]()
    with torch.no_grad():
        wanted = [reference(torch.tensor([tokenizer.encode(text).ids])).logits[0].numpy() for text in TEXTS]
    assert np.abs(scores(done.path, list(TEXTS)) - np.stack(wanted)).max() < 1e-2


def test_a_reranker_has_the_rows_of_yes_and_no_alone(tmp_path: Path) -> None:
    reference = tiny_qwen3(with_head=True)
    folder = saved(tmp_path / "tiny", "qwen3", reference)
    done = convert(Request(str(folder), tmp_path / "a.gguf", "f32", options=Options(is_reranker=True)))
    header = read_header(done.path)
    assert list(header.metadata["qwen3.classifier.output_labels"]) == ["yes", "no"]  # type: ignore[arg-type]
    assert header.tensors["cls.output.weight"].shape == (64, 2)
    assert "output.weight" not in header.tensors
    framed = yes_no_prompt("the cat", "the cat sat", "Find cats")
    with opened(done.path) as model:
        found = encode(model.client, Encode("a", (framed,))).values[0]
    tokenizer = TOKENIZERS["qwen3"]()
    prompt = tokenizer.encode(framed.before + framed.text + framed.after, add_special_tokens=False).ids
    rows = [tokenizer.token_to_id("yes"), tokenizer.token_to_id("no")]
    with torch.no_grad():
        logits = reference(torch.tensor([prompt])).logits[0, -1, rows]
    assert found == pytest.approx(torch.softmax(logits, 0).numpy(), abs=1e-3)


def test_only_qwen3_can_be_made_a_reranker(families: Families, tmp_path: Path) -> None:
    request = Request(str(families["llama"].folder), tmp_path / "a.gguf", options=Options(is_reranker=True))
    with pytest.raises(UnsupportedArchitecture, match="for Qwen3 only"):
        convert(request)
