"""Encoder-decoders of T5's family as GGUF: what llama.cpp would abort on, or answer with nonsense, is refused.

Keys and tensors are those of llama.cpp's models/t5.cpp; it has ByT5, mT5, mT0, Flan-T5 and UL2 under the name "t5".
"""

from __future__ import annotations

import re

from runtime.errors import UnsupportedArchitecture
from runtime.models.header import MAX_BLOCKS, Header, ModelShape

SEQ2SEQ = frozenset({"t5"})

# With fewer, the logarithm that chooses a bucket is one of infinity.
_LEAST_BUCKETS, _MOST_BUCKETS = 4, 2**12


def check_seq2seq(header: Header, shape: ModelShape) -> None:
    """Refuse an encoder-decoder that llama.cpp cannot be trusted with.

    Raises:
        ModelFileInvalid: a size or a token that no sound model has, or tensors that it lacks.
        UnsupportedArchitecture: a decoder that is deeper than the encoder.
    """
    depths = {"enc": shape.block_count, "dec": decoder_blocks(header, shape)}
    if depths["dec"] > depths["enc"]:
        # Its KV cache has as many layers as the encoder.
        raise UnsupportedArchitecture(
            f"{header.path} has a decoder of {depths['dec']} layers over an encoder of {depths['enc']}; "
            "llama.cpp computes encoder-decoders whose encoder is as deep or deeper.",
            remedy="Choose another model of this family.",
        )
    if shape.key_length != shape.value_length:
        raise header.fault(f"has heads of {shape.key_length} for keys and {shape.value_length} for values")
    header.size("attention.relative_buckets_count", _MOST_BUCKETS, least=_LEAST_BUCKETS)
    for part, depth in depths.items():
        numbers = re.compile(rf"{part}\.blk\.([0-9]{{1,6}})\.")
        blocks = {int(found[1]) for name in header.tensors if (found := numbers.match(name))}
        if blocks != set(range(depth)):
            raise header.fault(f"says that '{part}' has {depth} blocks, but its tensors are of {len(blocks)}")
        if f"{part}.blk.0.attn_rel_b.weight" not in header.tensors:
            raise header.fault(f"has no tensor '{part}.blk.0.attn_rel_b.weight'")
    _check_start(header, shape)
    end = header.metadata.get("tokenizer.ggml.eos_token_id", 1 if header.text("tokenizer.ggml.model") == "t5" else None)
    if end is None:
        raise header.fault("names no token that ends a text")
    if not isinstance(end, int) or not 0 <= end < shape.vocabulary_size:
        raise header.fault(f"has {end!r:.40} as 'tokenizer.ggml.eos_token_id' for {shape.vocabulary_size} tokens")


def decoder_blocks(header: Header, shape: ModelShape) -> int:
    """Layers of the decoder: as many as of the encoder, where the header does not say."""
    return header.size("decoder_block_count", MAX_BLOCKS, default=shape.block_count)


def _check_start(header: Header, shape: ModelShape) -> None:
    """An answer begins with a token of its own, or else with padding."""
    for key in (header.key("decoder_start_token_id"), "tokenizer.ggml.padding_token_id"):
        token = header.metadata.get(key)
        if isinstance(token, int) and 0 <= token < shape.vocabulary_size:
            return
        if token is not None:
            raise header.fault(f"has {token!r:.40} as '{key}' for {shape.vocabulary_size} tokens")
    if header.text("tokenizer.ggml.model") != "t5":  # where llama.cpp's default is token 0
        raise header.fault("does not name the token that answers begin with")
