"""What a header says of vectors and scores, and which encoders are refused before llama.cpp sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ModelFileInvalid, UnsupportedArchitecture
from runtime.models.encoding import Encoding, encoding_of
from runtime.models.inspect import check_loadable, read_header
from tests.tiny.encoders import tiny_bert, tiny_qwen3, tiny_xlm_roberta, write_encoder
from tests.tiny.gguf import REMOVED, write_tiny_gguf


def encoding(path: Path) -> Encoding | None:
    header = read_header(path)
    check_loadable(header)
    return encoding_of(header)


def test_a_model_that_generates_text_has_no_encoding(tmp_path: Path) -> None:
    assert encoding(write_tiny_gguf(tmp_path / "a.gguf")) is None
    assert encoding(write_tiny_gguf(tmp_path / "a.gguf", metadata={"llama.pooling_type": 0})) is None
    assert encoding(write_encoder(tmp_path / "a.gguf", tiny_qwen3(with_head=True))) is None


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_is_what_the_header_says(pooling: str, tmp_path: Path) -> None:
    for model, is_causal in ((tiny_bert(), False), (tiny_qwen3(), True)):
        found = encoding(write_encoder(tmp_path / "a.gguf", model, pooling=pooling))
        assert found is not None
        assert (found.pooling, found.is_causal, found.gives_scores) == (pooling, is_causal, False)
        # Only the last token of a causal model has seen all of a text that came in pieces.
        assert found.can_split is (is_causal and pooling == "last")


def test_an_encoder_that_names_no_pooling_is_pooled_by_the_mean_or_gives_the_scores_of_its_head(tmp_path: Path) -> None:
    plain = encoding(write_encoder(tmp_path / "a.gguf", tiny_bert()))
    ranker = encoding(write_encoder(tmp_path / "a.gguf", tiny_xlm_roberta(labels=1)))
    classifier = encoding(write_encoder(tmp_path / "a.gguf", tiny_bert(labels=3)))
    assert plain is not None and ranker is not None and classifier is not None
    assert (plain.pooling, ranker.pooling, classifier.pooling) == ("mean", "rank", "rank")
    assert classifier.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert ["embedding model" in plain.purpose, "reranker" in ranker.purpose, "classifier" in classifier.purpose] == [
        True
    ] * 3
    assert (plain.num_separators, ranker.num_separators) == (1, 2)
    assert (plain.has_segments, ranker.has_segments) == (True, False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bert.pooling_type": 4}, "no classification head"),
        ({"bert.pooling_type": 5}, "from 0 to 4"),
        ({"bert.attention.value_length": 8}, "heads of 16 for keys and 8 for values"),
        ({"tokenizer.ggml.seperator_token_id": 9999}, "seperator_token_id"),
        ({"tokenizer.ggml.bos_token_id": 9999}, "bos_token_id"),
        ({"bert.attention.layer_norm_epsilon": REMOVED}, "epsilon"),
        ({"bert.classifier.output_labels": [1, 2]}, "labels that are no texts"),
    ],
)
def test_an_encoder_that_llama_cpp_would_abort_on_is_refused(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "a.gguf", tiny_bert(), metadata=change)
    with pytest.raises(ModelFileInvalid, match=says):
        encoding(path)


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer.ggml.bos_token_id": REMOVED},
        {"tokenizer.ggml.eos_token_id": 9999},
        {"tokenizer.ggml.unknown_token_id": 9999},
        {"tokenizer.ggml.scores": REMOVED},
    ],
)
def test_a_unigram_tokenizer_that_lacks_what_it_puts_around_texts_is_refused(
    change: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ModelFileInvalid):
        encoding(write_encoder(tmp_path / "a.gguf", tiny_xlm_roberta(), metadata=change))


def test_scores_of_an_architecture_without_a_head_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedArchitecture, match="head is not computed"):
        encoding(write_tiny_gguf(tmp_path / "a.gguf", metadata={"llama.pooling_type": 4}))


def test_a_decoder_with_the_tokenizer_of_an_encoder_is_refused(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "a.gguf", metadata={"tokenizer.ggml.model": "bert"})
    with pytest.raises(UnsupportedArchitecture, match="tokenizer of kind 'bert'"):
        encoding(path)
