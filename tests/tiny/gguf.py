"""A tiny random model of Llama's architecture as GGUF: F32, a SentencePiece vocabulary, decoded by llama.cpp.

Every metadata entry and tensor can be replaced or removed, so that a test says in one line what is wrong with its file.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt

REMOVED: Final = object()  # as a metadata value or a tensor: leave it out

_WORDS = ("th", "he", "the", "▁the", "in", "ing", "▁in", "an", "and", "▁and", "wo", "wor", "▁wor", "ld", "▁world")
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # llama_token_type


def spm_vocabulary(size: int, control_tokens: Sequence[str] = ()) -> tuple[list[str], list[float], list[int]]:
    """Make texts, scores and types of a SentencePiece vocabulary: <unk> <s> </s>, 256 bytes, pieces, filler.

    `control_tokens` follow the bytes (ids 259 and up). See the error for how many tokens are needed at least.
    """
    special = [("<unk>", _UNKNOWN), ("<s>", _CONTROL), ("</s>", _CONTROL)]
    special += [(f"<0x{byte:02X}>", _BYTE) for byte in range(256)]
    special += [(text, _CONTROL) for text in control_tokens]
    pieces = ["▁", *string.ascii_letters, *string.digits, *string.punctuation, *_WORDS]
    num_filler = size - len(special) - len(pieces)
    if num_filler < 0:
        raise ValueError(f"A vocabulary of {size} is too small: {len(special) + len(pieces)} tokens are needed.")
    pieces += [f"filler{i}" for i in range(num_filler)]
    texts = [text for text, _ in special] + pieces
    types = [kind for _, kind in special] + [_NORMAL] * len(pieces)
    scores = [0.0] * len(special) + [-float(i) for i in range(len(pieces))]
    return texts, scores, types


def write_tiny_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    layers: int = 2,
    heads: int = 4,
    heads_kv: int = 2,
    embedding_length: int = 64,
    feed_forward_length: int = 96,
    context_length: int = 256,
    vocabulary_size: int = 400,
    control_tokens: Sequence[str] = (),
    chat_template: str | None = None,
    seed: int = 0,
    metadata: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Any] | None = None,
) -> Path:
    """Write the file and return its path.

    `metadata` and `tensors` replace or add entries by name; the value REMOVED leaves one out. A metadata value may be a
    bool, int (stored as uint32), float (float32), str, a list of one of these, or a tuple (value, GGUFValueType) or
    (list, GGUFValueType.ARRAY, GGUFValueType) where the type matters. A tensor is a float32 array, rows first.
    """
    texts, scores, types = spm_vocabulary(vocabulary_size, control_tokens)
    head_size = embedding_length // heads
    entries: dict[str, Any] = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": "Tiny",
        "general.license": "apache-2.0",
        "general.file_type": 0,
        f"{architecture}.context_length": context_length,
        f"{architecture}.embedding_length": embedding_length,
        f"{architecture}.block_count": layers,
        f"{architecture}.feed_forward_length": feed_forward_length,
        f"{architecture}.attention.head_count": heads,
        f"{architecture}.attention.head_count_kv": heads_kv,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.dimension_count": head_size,
        f"{architecture}.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }
    if chat_template is not None:
        entries["tokenizer.chat_template"] = chat_template
    weights = _weights(
        np.random.default_rng(seed),
        layers=layers,
        width=embedding_length,
        width_ff=feed_forward_length,
        width_q=heads * head_size,
        width_kv=heads_kv * head_size,
        vocabulary=vocabulary_size,
    )
    _write(path, architecture, _kept(entries, metadata), _kept(weights, tensors))
    return path


def write_tiny_lora(
    path: Path,
    base: Path,
    *,
    targets: Sequence[str] = ("attn_q", "attn_v"),
    rank: int = 4,
    seed: int = 1,
    metadata: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Any] | None = None,
) -> Path:
    """Write a random LoRA, strong enough to change answers, for the GGUF at `base`, and return its path.

    It changes the matrices of every block that `targets` name. `metadata` and `tensors` are as for the model.
    """
    reader = gguf.GGUFReader(base)
    architecture = str(reader.fields["general.architecture"].contents())
    entries: dict[str, Any] = {
        "general.architecture": architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(rank),
    }
    random = np.random.default_rng(seed)
    matrices: dict[str, Any] = {}
    for tensor in reader.tensors:
        if tensor.name.split(".")[-2] in targets:
            columns, rows = (int(size) for size in tensor.shape)
            matrices[f"{tensor.name}.lora_a"] = random.normal(0, columns**-0.5, (rank, columns)).astype(np.float32)
            matrices[f"{tensor.name}.lora_b"] = random.normal(0, 1, (rows, rank)).astype(np.float32)
    _write(path, architecture, _kept(entries, metadata), _kept(matrices, tensors))
    return path


def _write(path: Path, architecture: str, entries: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    writer.kv_data[0].clear()  # the writer's own general.architecture: ours stands in `entries`
    for key, value in entries.items():
        writer.add_key_value(key, *_typed(value))
    for name, tensor in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _weights(
    random: np.random.Generator, *, layers: int, width: int, width_ff: int, width_q: int, width_kv: int, vocabulary: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Random weights by llama.cpp's tensor names, rows first, scaled so that logits neither vanish nor explode."""

    def matrix(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)

    def norm() -> npt.NDArray[np.float32]:
        return random.uniform(0.5, 1.5, width).astype(np.float32)

    weights = {"token_embd.weight": matrix(vocabulary, width), "output_norm.weight": norm()}
    weights["output.weight"] = matrix(vocabulary, width)
    for i in range(layers):
        weights |= {
            f"blk.{i}.attn_norm.weight": norm(),
            f"blk.{i}.attn_q.weight": matrix(width_q, width),
            f"blk.{i}.attn_k.weight": matrix(width_kv, width),
            f"blk.{i}.attn_v.weight": matrix(width_kv, width),
            f"blk.{i}.attn_output.weight": matrix(width, width_q),
            f"blk.{i}.ffn_norm.weight": norm(),
            f"blk.{i}.ffn_gate.weight": matrix(width_ff, width),
            f"blk.{i}.ffn_up.weight": matrix(width_ff, width),
            f"blk.{i}.ffn_down.weight": matrix(width, width_ff),
        }
    return weights


def _kept(entries: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in {**entries, **(changes or {})}.items() if value is not REMOVED}


def _typed(value: Any) -> tuple[Any, ...]:
    """Spell out a value's type as GGUFWriter.add_key_value wants it."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, list):
        return value, gguf.GGUFValueType.ARRAY, _scalar_type(value[0], gguf.GGUFValueType.INT32)
    return value, _scalar_type(value, gguf.GGUFValueType.UINT32)


def _scalar_type(value: Any, integer: gguf.GGUFValueType) -> gguf.GGUFValueType:
    match value:
        case bool():
            return gguf.GGUFValueType.BOOL
        case int():
            return integer
        case float():
            return gguf.GGUFValueType.FLOAT32
        case str():
            return gguf.GGUFValueType.STRING
    raise TypeError(f"No GGUF type for {value!r}")
