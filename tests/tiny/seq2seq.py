"""Tiny random encoder-decoders of T5's family as GGUF: the same weights under llama.cpp's names, for parity tests.

`tiny_t5` (ReLU, tied), `tiny_mt5` (gated GELU, untied) and `tiny_byt5` (bytes, encoder deeper than decoder) make
checkpoints of which every parameter is random, norms too; `write_seq2seq` writes any of them.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import transformers

from tests.tiny.gguf import _kept, _write
from tests.tiny.t5_weights import fill_t5, untie

WIDTH, HEADS, HEAD_SIZE, FEED_FORWARD = 64, 4, 24, 96
CONTEXT = 128
PAD, EOS, UNKNOWN = 0, 1, 2
NUM_SENTINELS: Final = 100
NUM_BYTE_SENTINELS: Final = 125

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 1, 2, 3, 4, 5  # llama_token_type
_WORDS = (
    *("the", "cat", "sat", "on", "mat", "dog", "ran", "walks", "in", "park", "House", "is", "wonderful"),
    *("кот", "сидит", "на", "ковре", "猫", "坐", "नमस्ते", "γάτα", "قطة", "חתול", "고양이", "แมว"),
)


def tiny_t5(*, seed: int = 0) -> Any:
    """T5 1.0: a feed-forward network with ReLU, and an output that is tied to the embedding."""
    return _randomised(_config(transformers.T5Config, len(unigram_vocabulary()), is_old=True), seed)


def tiny_mt5(*, seed: int = 0) -> Any:
    """mT5, as mT0 and T5 1.1: gated GELU, untied."""
    return _randomised(_config(transformers.MT5Config, len(unigram_vocabulary())), seed)


def tiny_byt5(*, decoder_layers: int = 1, seed: int = 0) -> Any:
    """ByT5, as MonoByte: 384 tokens, and an encoder of three layers over a decoder of fewer."""
    return _randomised(
        _config(transformers.T5Config, 384, num_layers=3, num_decoder_layers=decoder_layers, is_old=False), seed
    )


def _config(kind: Any, vocabulary_size: int, *, is_old: bool = False, **more: Any) -> Any:
    sizes = {"num_layers": 2, "num_decoder_layers": 2} | more
    return kind(
        vocab_size=vocabulary_size,
        d_model=WIDTH,
        d_kv=HEAD_SIZE,
        d_ff=FEED_FORWARD,
        num_heads=HEADS,
        feed_forward_proj="relu" if is_old else "gated-gelu",
        tie_word_embeddings=is_old,
        decoder_start_token_id=PAD,
        pad_token_id=PAD,
        eos_token_id=EOS,
        **sizes,
    )


def _randomised(config: Any, seed: int) -> Any:
    is_mt5 = config.model_type == "mt5"
    kind: Any = transformers.MT5ForConditionalGeneration if is_mt5 else transformers.T5ForConditionalGeneration
    model = kind(config).eval()
    untie(model)
    fill_t5(model, seed=seed, gain=1.5)
    return model


def write_seq2seq(
    path: Path,
    model: Any,
    *,
    metadata: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Any] | None = None,
) -> Path:
    """Write `model` as GGUF and return the path; `metadata` and `tensors` replace or add, as in `write_tiny_gguf`."""
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5, max(config.num_layers, config.num_decoder_layers))
    weights = {}
    for name, weight in model.state_dict().items():
        renamed = names.get_name(name, try_suffixes=(".weight",))
        if renamed is None:
            continue  # the embedding again, under the names of encoder and decoder
        weights[renamed] = weight.numpy()
    if getattr(config, "scale_decoder_outputs", False):
        # transformers scales the decoder's output before a tied head, and llama.cpp does not.
        weights["output.weight"] = weights["token_embd.weight"] * np.float32(config.d_model**-0.5)
    entries: dict[str, Any] = {
        "general.architecture": "t5",
        "general.type": "model",
        "general.name": "Tiny",
        "general.file_type": 0,
        "t5.context_length": CONTEXT,
        "t5.embedding_length": config.d_model,
        "t5.block_count": config.num_layers,
        "t5.decoder_block_count": config.num_decoder_layers,
        "t5.feed_forward_length": config.d_ff,
        "t5.attention.head_count": config.num_heads,
        "t5.attention.key_length": config.d_kv,
        "t5.attention.value_length": config.d_kv,
        "t5.attention.layer_norm_rms_epsilon": config.layer_norm_epsilon,
        "t5.attention.relative_buckets_count": config.relative_attention_num_buckets,
        "t5.decoder_start_token_id": config.decoder_start_token_id,
        "tokenizer.ggml.padding_token_id": PAD,
        "tokenizer.ggml.eos_token_id": EOS,
        "tokenizer.ggml.unknown_token_id": UNKNOWN,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": True,
    } | (_byte_entries() if config.vocab_size == 384 else _unigram_entries())
    _write(path, "t5", _kept(entries, metadata), _kept(weights, tensors))
    return path


def unigram_vocabulary() -> list[tuple[str, float]]:
    """T5's special tokens, pieces with their scores, and the sentinels, the first of which comes last."""
    pieces = ["▁", *(f"▁{word}" for word in _WORDS), *string.ascii_letters, *string.digits, *string.punctuation]
    pieces += [*dict.fromkeys(letter for word in _WORDS if not word.isascii() for letter in word)]
    known = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    known += [(piece, -2.0 - 0.05 * index) for index, piece in enumerate(dict.fromkeys(pieces))]
    return known + [(f"<extra_id_{index}>", 0.0) for index in reversed(range(NUM_SENTINELS))]


def _unigram_entries() -> dict[str, Any]:
    vocabulary = unigram_vocabulary()
    types = [_CONTROL, _CONTROL, _UNKNOWN] + [_NORMAL] * (len(vocabulary) - 3 - NUM_SENTINELS)
    return {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [text for text, _ in vocabulary],
        "tokenizer.ggml.scores": [score for _, score in vocabulary],
        "tokenizer.ggml.token_type": types + [_USER_DEFINED] * NUM_SENTINELS,
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
    }


def byte_tokens(num_sentinels: int = NUM_BYTE_SENTINELS) -> tuple[list[str], list[int]]:
    r"""Texts and types of ByT5's tokens in llama.cpp's `rwkv` notation: a byte is `\xNN`.

    The names of the others begin with two bytes that no text has, so that none is read from a text.
    """
    sentinels = [f"<extra_id_{index}>" for index in range(num_sentinels)]
    texts = [rf"\xff\xfe{name}" for name in ("<pad>", "</s>", "<unk>")]
    texts += [rf"\x{byte:02x}" for byte in range(256)]
    texts += [rf"\xff\xfe{name}" for name in sentinels]
    return texts, [_CONTROL, _CONTROL, _UNKNOWN] + [_NORMAL] * 256 + [_CONTROL] * num_sentinels


def _byte_entries() -> dict[str, Any]:
    texts, types = byte_tokens()
    return {
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": types,
    }
