"""Models of real shapes with random weights, as GGUF in Q4_K_M: for speed, where no real model can be had.

    python -m benchmarks.synthetic 7b synthetic-7b.gguf

How long a model computes does not depend on what its weights say; its text is noise. Each tensor has the type that
llama.cpp's quantizer gives it in Q4_K_M (`llama_tensor_get_type` in llama-quant.cpp). The tokenizer is SmolLM2's, cut
off or filled up to the size of the vocabulary. The blocks are written as they are stored, from random bytes, with
scales that give weights of about 0.02.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from benchmarks.script import leave_with
from runtime.models.inspect import read_header
from runtime.models.store import Store

TOKENIZER = "smollm2-135m-instruct"
_Q4_K, _Q6_K, _F32 = (gguf.GGMLQuantizationType[name] for name in ("Q4_K", "Q6_K", "F32"))
_BLOCK = 256  # weights in a block of a K type
_PIECE_ROWS = 4096
_UNUSED = 5  # llama_token_type
_FILE_TYPE = 15  # llama_ftype: Q4_K_M
# ggml-common.h: half floats first or last, so that random bytes become weights of about 0.02.
_Q4_K_BYTES, _Q6_K_BYTES = 144, 210
_Q4_K_SCALE, _Q6_K_SCALE = 8e-5, 1.5e-5
_MEAN_QUANT = 7.5  # of 4 bits: what the minimum takes away, so that weights are as often below 0 as above


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder of Llama's architecture; `is_tied` where the embedding is the head."""

    layers: int
    width: int
    feed_forward: int
    heads: int
    heads_kv: int
    vocabulary: int
    context: int
    is_tied: bool

    @property
    def head_size(self) -> int:
        """Columns of one head."""
        return self.width // self.heads


# config.json of meta-llama/Llama-3.2-1B and of meta-llama/Llama-2-7b-hf.
SHAPES = {
    "1b": Shape(16, 2048, 8192, 32, 8, 128_256, 131_072, is_tied=True),
    "7b": Shape(32, 4096, 11_008, 32, 32, 32_000, 4096, is_tied=False),
}


@dataclass(frozen=True)
class Planned:
    """A tensor that will be written: rows of `columns` weights each, in a type."""

    name: str
    rows: int
    columns: int
    type: gguf.GGMLQuantizationType


def planned(shape: Shape) -> list[Planned]:
    """All tensors of a model, in the order of the file."""
    width, wide = shape.width, shape.feed_forward
    keys = shape.heads_kv * shape.head_size
    found = [Planned("token_embd.weight", shape.vocabulary, width, _Q6_K if shape.is_tied else _Q4_K)]
    for layer in range(shape.layers):
        more = _Q6_K if _gets_more_bits(layer, shape.layers) else _Q4_K
        name = f"blk.{layer}"
        found += [
            Planned(f"{name}.attn_norm.weight", 1, width, _F32),
            Planned(f"{name}.attn_q.weight", width, width, _Q4_K),
            Planned(f"{name}.attn_k.weight", keys, width, _Q4_K),
            Planned(f"{name}.attn_v.weight", keys, width, more),
            Planned(f"{name}.attn_output.weight", width, width, _Q4_K),
            Planned(f"{name}.ffn_norm.weight", 1, width, _F32),
            Planned(f"{name}.ffn_gate.weight", wide, width, _Q4_K),
            Planned(f"{name}.ffn_up.weight", wide, width, _Q4_K),
            Planned(f"{name}.ffn_down.weight", width, wide, more),
        ]
    found.append(Planned("output_norm.weight", 1, width, _F32))
    if not shape.is_tied:
        found.append(Planned("output.weight", shape.vocabulary, width, _Q6_K))
    return found


def write(path: Path, name: str, shape: Shape, *, seed: int = 0) -> None:
    """Write a model of this shape, with a bar on a terminal; the same seed writes the same file."""
    tensors = planned(shape)
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, name, shape, read_header(Store().resolve(TOKENIZER).path).metadata)
    for tensor in tensors:
        size = gguf.GGML_QUANT_SIZES[tensor.type]
        num_bytes = tensor.rows * tensor.columns // size[0] * size[1]
        dimensions = (tensor.columns,) if tensor.type is _F32 else (tensor.rows, tensor.columns)
        writer.add_tensor_info(tensor.name, dimensions, np.dtype(np.float32), num_bytes, raw_dtype=tensor.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(seed)
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        for tensor in progress.track(tensors, description=name):
            values = np.concatenate(list(_pieces(tensor, random)))
            writer.write_tensor_data(values, tensor_endianess=gguf.GGUFEndian.LITTLE)
    writer.close()


def _gets_more_bits(layer: int, layers: int) -> bool:
    """As `use_more_bits` in llama-quant.cpp."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _pieces(tensor: Planned, random: np.random.Generator) -> Iterator[npt.NDArray[np.uint8]]:
    if tensor.type is _F32:
        yield np.ones(tensor.columns, np.float32).view(np.uint8)
        return
    for start in range(0, tensor.rows, _PIECE_ROWS):
        blocks = min(_PIECE_ROWS, tensor.rows - start) * (tensor.columns // _BLOCK)
        yield (_q4_k(blocks, random) if tensor.type is _Q4_K else _q6_k(blocks, random)).reshape(-1)


def _q4_k(blocks: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    found = random.integers(0, 256, (blocks, _Q4_K_BYTES), np.uint8)
    found[:, :4] = np.array([_Q4_K_SCALE, _Q4_K_SCALE * _MEAN_QUANT], np.float16).view(np.uint8)
    return found


def _q6_k(blocks: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    found = random.integers(0, 256, (blocks, _Q6_K_BYTES), np.uint8)
    found[:, -2:] = np.array([_Q6_K_SCALE], np.float16).view(np.uint8)
    return found


def _describe(writer: gguf.GGUFWriter, name: str, shape: Shape, like: Mapping[str, Any]) -> None:
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPE)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_vocab_size(shape.vocabulary)
    texts = [str(token) for token in like["tokenizer.ggml.tokens"]][: shape.vocabulary]
    types = [int(kind) for kind in like["tokenizer.ggml.token_type"]][: shape.vocabulary]
    merges = [str(merge) for merge in like["tokenizer.ggml.merges"]]
    there = set(texts)
    texts += [f"<unused{number}>" for number in range(shape.vocabulary - len(texts))]
    types += [_UNUSED] * (shape.vocabulary - len(types))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(str(like["tokenizer.ggml.pre"]))
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges([merge for merge in merges if merge.replace(" ", "") in there])
    for key in ("bos", "eos"):
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", int(like[f"tokenizer.ggml.{key}_token_id"]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one model."""
    parser = argparse.ArgumentParser(description="Write a model with random weights.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("output", type=Path)
    chosen = parser.parse_args(arguments)
    write(chosen.output, f"synthetic-{chosen.shape}", SHAPES[chosen.shape])
    print(f"{chosen.output}: {chosen.output.stat().st_size / 2**30:.2f} GiB")
    return 0


if __name__ == "__main__":
    leave_with(main)
