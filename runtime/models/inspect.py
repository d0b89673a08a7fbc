"""What a GGUF says about its model, and whether llama.cpp can be trusted with it.

`read_header` reads metadata and tensor table (`gguf_format.py` knows the bytes, `header.py` the keys); `check_loadable`
then refuses what llama.cpp would answer by aborting the process, so that a bad file costs a sentence. The limits are
those of llama.cpp's llama-hparams.h and llama-model.cpp.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from runtime.errors import UnsupportedArchitecture
from runtime.models.encoding import ENCODERS, encoding_of
from runtime.models.gguf_format import MetadataValue, StringArray, TensorInfo, invalid, parse
from runtime.models.header import MAX_WIDTH, Header, ModelShape
from runtime.models.seq2seq import SEQ2SEQ, check_seq2seq
from runtime.text.bytes import are_bytes

__all__ = ["Header", "MetadataValue", "ModelShape", "StringArray", "TensorInfo", "check_loadable", "read_header"]

# Decoders whose only state is a KV cache: the engine copies and cuts that by position (prefix sharing, taking back
# tokens), which a recurrent state does not allow. Text only; names as in llama.cpp's llama-arch.cpp.
DECODERS = frozenset({
    "apertus", "arcee", "baichuan", "bitnet", "bloom", "chatglm", "codeshell", "cohere2", "command-r", "dbrx",
    "deepseek", "deepseek2", "dots1", "ernie4_5", "ernie4_5-moe", "exaone", "exaone4", "falcon", "gemma", "gemma2",
    "gemma3", "gemma3n", "gemma4", "glm4", "glm4moe", "gpt-oss", "gpt2", "gptneox", "granite", "granitemoe",
    "hunyuan-dense", "hunyuan-moe", "internlm2", "jais", "llama", "llama4", "mellum", "minicpm", "minicpm3",
    "mistral3", "mpt", "nemotron", "olmo", "olmo2", "olmoe", "openelm", "orion", "phi2", "phi3", "phimoe", "plm",
    "qwen", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "refact", "seed_oss", "smallthinker", "smollm3", "stablelm",
    "starcoder", "starcoder2", "xverse",
})  # fmt: skip
# Known and refused, with what they are.
_REFUSED = {
    "an encoder that is not run here": ("llama-embed", "t5encoder"),
    "a recurrent model": ("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"),
    "a hybrid of attention and recurrent layers": (
        "falcon-h1", "granitehybrid", "jamba", "kimi-linear", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe",
        "plamo2", "qwen35", "qwen35moe", "qwen3next",
    ),
    "a diffusion model": ("dream", "llada", "llada-moe", "rnd1"),
    "the part of a model that reads images or sound": ("clip", "wavtokenizer-dec"),
}  # fmt: skip
REFUSED_ARCHITECTURES = {name: kind for kind, names in _REFUSED.items() for name in names}

# Those whose attn_q, attn_k and attn_v are heads times head size in every layer: their shapes can be foretold.
_PLAIN_ATTENTION = frozenset(
    {"llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "smollm3", "mistral3", "granite", "olmo2"}
)

MAX_EXPERTS = 512  # LLAMA_MAX_EXPERTS
_NORMAL = 1  # llama_token_type
_ROPE_SCALING_TYPES = ("none", "linear", "yarn", "longrope")
_TOKENIZERS = ("llama", "gpt2", "gemma4")  # SentencePiece BPE, byte-level BPE, BPE of texts
_BYTES = "rwkv"  # the one kind of llama.cpp's that holds any byte
_DECODER_TOKENIZERS = (*_TOKENIZERS, "t5", _BYTES)
_ENCODER_TOKENIZERS = ("bert", "t5", *_TOKENIZERS)  # WordPiece, Unigram
_SEQ2SEQ_TOKENIZERS = ("t5", _BYTES)
_EPSILONS = ("layer_norm_rms_epsilon", "layer_norm_epsilon", "group_norm_epsilon")


def read_header(path: Path) -> Header:
    """Read a GGUF's metadata and tensor table, in about 0.1 s for a vocabulary of 262,144 tokens.

    Raises:
        ModelFileInvalid: the file cannot be read, is not a GGUF, is cut off, or breaks a rule of the format.
    """
    file = parse(path)
    return Header(path, file.version, file.alignment, file.metadata, file.tensors, file.file_size)


def check_loadable(header: Header) -> None:
    """Refuse a model that llama.cpp would abort on or that the engine cannot drive.

    Raises:
        ModelFileInvalid: part of a split model, no model at all, or values no sound model has.
        UnsupportedArchitecture: an architecture or a tokenizer that is not run here.
    """
    _check_is_whole_model(header)
    _check_architecture(header)
    encoding = encoding_of(header)
    shape = header.shape()
    if encoding is not None:
        _check_encoder(header, shape)
    tokenizers: tuple[str, ...] = _DECODER_TOKENIZERS if encoding is None else _ENCODER_TOKENIZERS
    if header.architecture in SEQ2SEQ:
        check_seq2seq(header, shape)
        tokenizers = _SEQ2SEQ_TOKENIZERS
    else:
        _check_blocks(header, shape)
    _check_tensors(header, shape)
    _check_rope(header, shape)
    _check_numbers(header)
    _check_experts(header)
    _check_tokenizer(header, tokenizers)


def _check_is_whole_model(header: Header) -> None:
    parts = header.metadata.get("split.count")
    if isinstance(parts, int) and parts > 1:
        remedy = "Join the parts with 'llama-gguf-split --merge', or get the model as one file."
        raise invalid(header.path, f"is one of the {parts} parts of a split model", remedy)
    kind = header.text("general.type")
    if kind not in {None, "model"}:
        raise invalid(header.path, f"holds no model but this: {kind!r:.40}", "Give the path of the model itself.")


def _check_architecture(header: Header) -> None:
    name = header.architecture
    kind = REFUSED_ARCHITECTURES.get(name)
    if kind is None and name not in DECODERS | ENCODERS | SEQ2SEQ:
        kind = "one that demotic does not know"
    is_causal = header.metadata.get(f"{name}.attention.causal", True) is True
    if kind is None and name in DECODERS and not is_causal and not header.metadata.get(f"{name}.pooling_type"):
        kind = "here without causal attention and without a pooling, so it gives neither text nor vectors"
    if kind is not None:
        raise UnsupportedArchitecture(
            f"{header.path} is of architecture '{name:.40}', {kind}; decoders, encoders and T5 are run.",
            remedy="Choose a model of another family, for example Llama, Qwen or Gemma, or BERT for vectors.",
        )
    if not header.tensors:
        raise invalid(header.path, "holds no tensors, only a vocabulary", "Give the path of the model itself.")


def _check_blocks(header: Header, shape: ModelShape) -> None:
    header.size("nextn_predict_layers", shape.block_count - 1, least=0, default=0)  # they are counted among the blocks
    blocks = {int(found[1]) for name in header.tensors if (found := re.match(r"blk\.([0-9]{1,6})\.", name))}
    if blocks != set(range(shape.block_count)):
        raise header.fault(f"says it has {shape.block_count} blocks, but its tensors are of {len(blocks)}")


def _check_tensors(header: Header, shape: ModelShape) -> None:
    width, vocabulary = shape.embedding_length, shape.vocabulary_size
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(("token_embd.weight", "output.weight"), (width, vocabulary))
    expected["output_norm.weight"] = (width,)
    if shape.architecture in _PLAIN_ATTENTION and isinstance(header.metadata[header.key("attention.head_count")], int):
        for block, heads_kv in enumerate(shape.head_counts_kv):
            expected[f"blk.{block}.attn_q.weight"] = (width, shape.head_count * shape.key_length)
            expected[f"blk.{block}.attn_k.weight"] = (width, heads_kv * shape.key_length)
            expected[f"blk.{block}.attn_v.weight"] = (width, heads_kv * shape.value_length)
    if "token_embd.weight" not in header.tensors:
        raise header.fault("has no tensor 'token_embd.weight'")
    for name, wanted in expected.items():
        tensor = header.tensors.get(name)
        if tensor is not None and tensor.shape != wanted:
            raise header.fault(f"has tensor '{name}' in shape {list(tensor.shape)} where {list(wanted)} is expected")


def _check_encoder(header: Header, shape: ModelShape) -> None:
    """What llama.cpp asserts while it reads an encoder or builds its graph."""
    if shape.key_length != shape.value_length:
        raise header.fault(f"has heads of {shape.key_length} for keys and {shape.value_length} for values")
    width = shape.embedding_length
    for key in ("dense_2_feat_in", "dense_3_feat_out"):
        if header.size(key, MAX_WIDTH, least=0, default=0) not in {0, width}:
            raise header.fault(f"has {header.metadata[header.key(key)]!r:.40} as '{header.key(key)}', not {width}")
    if shape.architecture == "jina-bert-v2":
        rows = {header.tensors[name].shape[-1] for name in header.tensors if name.endswith("ffn_up.weight")}
        feed_forward = header.size("feed_forward_length", 8 * MAX_WIDTH)
        if not rows <= {feed_forward, 2 * feed_forward}:
            raise header.fault(f"has a feed-forward network of {sorted(rows)} where {feed_forward} is expected")


def _check_rope(header: Header, shape: ModelShape) -> None:
    for suffix in ("", "_swa"):
        head = header.size(f"attention.key_length{suffix}", MAX_WIDTH, default=shape.key_length)
        key = header.key(f"rope.dimension_count{suffix}")
        size = header.metadata.get(key)
        if size is not None and (not isinstance(size, int) or not 0 < size <= head or size % 2):
            raise header.fault(f"rotates {size!r:.40} dimensions ('{key}') of heads that have {head}")
    key = header.key("rope.scaling.type")
    scaling = header.text(key)
    if scaling is not None and scaling not in _ROPE_SCALING_TYPES:
        raise header.fault(f"has {scaling!r:.40} as '{key}', which is none of {', '.join(_ROPE_SCALING_TYPES)}")


def _check_numbers(header: Header) -> None:
    """NaN reaches an assertion in ggml's norms, or makes every logit NaN; so does a base that is not above 0."""
    for key, value in header.metadata.items():
        if isinstance(value, float) and key.startswith(header.key("")) and not math.isfinite(value):
            raise header.fault(f"has {value} as '{key}', which is no finite number")
    epsilons = [key for name in _EPSILONS if (key := header.key(f"attention.{name}")) in header.metadata]
    if not epsilons:
        raise header.fault("has no epsilon for its norms")
    for key in [*epsilons, header.key("rope.freq_base"), header.key("rope.freq_base_swa")]:
        value = header.metadata.get(key, 1.0)
        if not isinstance(value, float) or value <= 0:
            raise header.fault(f"has {value!r:.40} as '{key}', but it must be a number above 0")


def _check_experts(header: Header) -> None:
    """The relations that llama.cpp asserts while it reads a mixture of experts."""
    total = header.size("expert_count", MAX_EXPERTS, least=0, default=0)
    used = header.size("expert_used_count", MAX_EXPERTS, least=0, default=0)
    groups = header.size("expert_group_count", MAX_EXPERTS, least=0, default=0)
    groups_used = header.size("expert_group_used_count", MAX_EXPERTS, least=0, default=0)
    is_sound = 0 < used <= total and groups < total if total else used == groups == 0
    if groups > 1:
        is_sound = is_sound and total % groups == 0 and 0 < groups_used < groups
    if not is_sound:
        raise header.fault(f"uses {used} of {total} experts in {groups_used} of {groups} groups, which cannot be")


def _check_tokenizer(header: Header, known: tuple[str, ...]) -> None:
    model = header.text("tokenizer.ggml.model")
    if model is None:
        raise header.fault("has no tokenizer")
    if model not in known:
        raise UnsupportedArchitecture(
            f"{header.path} has a tokenizer of kind {model!r:.40}; known are {', '.join(known)}.",
            remedy="Get another file of this model.",
        )
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, StringArray) or not len(tokens):
        raise header.fault("has a tokenizer without tokens")
    if model in {"bert", "t5"}:
        _check_special_tokens(header, model, len(tokens))
        if model == "t5" and "tokenizer.ggml.scores" not in header.metadata:
            raise header.fault("has a Unigram tokenizer without scores")
    elif model == _BYTES:
        types = header.metadata.get("tokenizer.ggml.token_type")
        control = set(np.flatnonzero(types != _NORMAL).tolist()) if isinstance(types, np.ndarray) else set()
        if not are_bytes(tokens.all_bytes(), control):
            raise header.fault("has a tokenizer of kind 'rwkv' that is not one token for each of the 256 bytes")
    elif model != "llama":
        merges = header.metadata.get("tokenizer.ggml.merges")
        if not isinstance(merges, StringArray) or not len(merges):
            raise header.fault("has a BPE tokenizer without merges")
        if header.text("tokenizer.ggml.pre") == "whitespace":
            # made for vocabularies of whole words; with others llama.cpp was seen to abort while tokenizing
            raise header.fault("has a BPE tokenizer with the pre-tokenizer 'whitespace'")
    _check_per_token(header, "scores", len(tokens), (np.float32, np.int32))
    _check_per_token(header, "token_type", len(tokens), (np.int32,))
    texts = tokens.all_bytes()
    different = set(texts)
    if len(different) < len(texts) or b"" in different or b"\0" in b"".join(texts):
        _check_no_text_twice(header, tokens, texts)
    if model == "llama":
        missing = [byte for byte in range(256) if b"<0x%02X>" % byte not in different]
        if missing:
            raise header.fault(f"lacks {len(missing)} of the 256 byte tokens, such as <0x{missing[0]:02X}>")


def _check_special_tokens(header: Header, model: str, num_tokens: int) -> None:
    """llama.cpp aborts where a token that it puts around each text, or in place of unknown ones, is not there."""
    if model == "bert":
        wanted: dict[str, int | None] = {"bos": 101, "seperator": 102, "unknown": 100}
    else:
        wanted = {"unknown": 2}
        if header.metadata.get("tokenizer.ggml.add_bos_token") is True:
            wanted["bos"] = None
        if header.metadata.get("tokenizer.ggml.add_eos_token") is not False:
            wanted["eos"] = 1
    for name, default in wanted.items():
        key = f"tokenizer.ggml.{name}_token_id"
        token = header.metadata.get(key, default)
        if not isinstance(token, int) or not 0 <= token < num_tokens:
            raise header.fault(f"has {token!r:.40} as '{key}' for {num_tokens} tokens")


def _check_no_text_twice(header: Header, tokens: StringArray, stored: list[bytes]) -> None:
    """Refuse texts that are the same to llama.cpp, which ends a text at its first zero byte and names an empty one."""
    texts = [text.partition(b"\0")[0] or b"[EMPTY_%d]" % index for index, text in enumerate(stored)]
    last_ids = dict(zip(texts, range(len(texts)), strict=True))
    if len(last_ids) < len(texts):
        first = next(index for index, text in enumerate(texts) if last_ids[text] != index)
        raise header.fault(f"has the token {tokens[first]!r:.40} twice (ids {first} and {last_ids[texts[first]]})")


def _check_per_token(header: Header, name: str, num_tokens: int, dtypes: tuple[type[np.generic], ...]) -> None:
    key = f"tokenizer.ggml.{name}"
    values = header.metadata.get(key)
    if values is None:
        return
    if not isinstance(values, np.ndarray) or values.dtype not in dtypes:
        raise header.fault(f"has something else in '{key}' than an array of {dtypes[0].__name__}")
    if len(values) != num_tokens:
        raise header.fault(f"has {len(values)} entries in '{key}' for {num_tokens} tokens")
    if np.isnan(values).any():
        raise header.fault(f"has an entry in '{key}' that is not a number")
