"""Encoder-decoders whose file llama.cpp would abort on, or crash, are refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.errors import ModelFileInvalid, UnsupportedArchitecture
from runtime.models.inspect import check_loadable, read_header
from tests.tiny.gguf import REMOVED, write_tiny_gguf
from tests.tiny.seq2seq import byte_tokens, tiny_byt5, tiny_mt5, write_seq2seq


def check(path: Path) -> None:
    check_loadable(read_header(path))


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {"byt5": tiny_byt5(), "mt5": tiny_mt5()}


def test_an_encoder_deeper_than_its_decoder_is_run(models: dict[str, Any], tmp_path: Path) -> None:
    path = write_seq2seq(tmp_path / "a.gguf", models["byt5"])
    check(path)
    assert read_header(path).shape().block_count == 3


def test_a_decoder_deeper_than_its_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedArchitecture, match="decoder of 4 layers over an encoder of 3"):
        check(write_seq2seq(tmp_path / "a.gguf", tiny_byt5(decoder_layers=4)))


@pytest.mark.parametrize(
    ("metadata", "tensors", "says"),
    [
        ({"t5.decoder_block_count": 2}, {}, "'dec' has 2 blocks, but its tensors are of 1"),
        ({"t5.block_count": 2}, {}, "'enc' has 2 blocks, but its tensors are of 3"),
        ({}, {"enc.blk.0.attn_rel_b.weight": REMOVED}, "no tensor 'enc.blk.0.attn_rel_b.weight'"),
        ({}, {"dec.blk.0.attn_rel_b.weight": REMOVED}, "no tensor 'dec.blk.0.attn_rel_b.weight'"),
        ({}, {"token_embd.weight": REMOVED}, "no tensor 'token_embd.weight'"),
        ({}, {"output.weight": np.zeros((200, 64), np.float32)}, "'output.weight' in shape [64, 200]"),
        ({"t5.attention.relative_buckets_count": 2}, {}, "relative_buckets_count"),
        ({"t5.attention.relative_buckets_count": REMOVED}, {}, "relative_buckets_count"),
        ({"t5.attention.value_length": 12}, {}, "heads of 24 for keys and 12 for values"),
        ({"t5.decoder_start_token_id": 384}, {}, "has 384 as 't5.decoder_start_token_id'"),
        (
            {"t5.decoder_start_token_id": REMOVED, "tokenizer.ggml.padding_token_id": REMOVED},
            {},
            "does not name the token that answers begin with",
        ),
        ({"tokenizer.ggml.eos_token_id": 999}, {}, "has 999 as 'tokenizer.ggml.eos_token_id'"),
        ({"tokenizer.ggml.eos_token_id": REMOVED}, {}, "names no token that ends a text"),
        ({"t5.attention.layer_norm_rms_epsilon": REMOVED}, {}, "epsilon"),
        ({"tokenizer.ggml.tokens": [*byte_tokens()[0][:-1], r"\x41"]}, {}, "not one token for each of the 256 bytes"),
    ],
)
def test_what_llama_cpp_would_abort_on_is_named(
    models: dict[str, Any], metadata: dict[str, Any], tensors: dict[str, Any], says: str, tmp_path: Path
) -> None:
    path = write_seq2seq(tmp_path / "a.gguf", models["byt5"], metadata=metadata, tensors=tensors)
    with pytest.raises(ModelFileInvalid) as caught:
        check(path)
    assert says in caught.value.message


def test_answers_may_begin_with_padding_without_a_word(models: dict[str, Any], tmp_path: Path) -> None:
    check(write_seq2seq(tmp_path / "a.gguf", models["byt5"], metadata={"t5.decoder_start_token_id": REMOVED}))


def test_a_tokenizer_of_another_kind_is_refused(models: dict[str, Any], tmp_path: Path) -> None:
    path = write_seq2seq(tmp_path / "a.gguf", models["mt5"], metadata={"tokenizer.ggml.model": "gpt2"})
    with pytest.raises(UnsupportedArchitecture, match="tokenizer of kind 'gpt2'; known are t5, rwkv"):
        check(path)


def test_decoders_may_have_bytes_or_unigrams_too(tmp_path: Path) -> None:
    texts, types = byte_tokens()
    entries = {
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": REMOVED,
    }
    check(write_tiny_gguf(tmp_path / "a.gguf", vocabulary_size=384, metadata=entries))
    check(write_tiny_gguf(tmp_path / "b.gguf", metadata={"tokenizer.ggml.model": "t5"}))
