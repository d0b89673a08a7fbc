"""A GGUF's header as one object: the common questions to its metadata, and the sizes a planner needs.

Keys of the metadata: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.errors import ModelFileInvalid
from runtime.models.gguf_format import MetadataValue, StringArray, TensorInfo, invalid

# llama_ftype (llama.h): number in the file -> name.
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
}  # fmt: skip

# Where a file carries the tokenizer.json that its vocabulary was made from.
EMBEDDED_KEY = "tokenizer.huggingface.json"
_BLOCK = re.compile(r"(?:enc\.|dec\.)?blk\.(\d{1,4})\.")
MAX_BLOCKS = 512  # LLAMA_MAX_LAYERS
MAX_CONTEXT = 2**24
MAX_WIDTH = 2**20  # of embeddings and of heads
MAX_HEADS = 2**12


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide on memory and speed; `sliding_window` 0 is none.

    `head_counts_kv` and `block_bytes`, the weights of a layer, have one entry a layer. `output_bytes` are those of the
    head, which may be the embedding. `block_bytes` is empty where only the size of the file is known.
    """

    architecture: str
    size_bytes: int
    parameter_count: int
    context_length: int
    embedding_length: int
    block_count: int
    head_count: int
    head_counts_kv: tuple[int, ...]
    key_length: int
    value_length: int
    vocabulary_size: int
    sliding_window: int
    block_bytes: tuple[int, ...] = ()
    output_bytes: int = 0


@dataclass(frozen=True, eq=False)
class Header:
    """A GGUF's metadata and tensor table, and the common questions to them."""

    path: Path
    version: int
    alignment: int
    metadata: Mapping[str, MetadataValue]
    tensors: Mapping[str, TensorInfo]
    file_size: int

    @property
    def architecture(self) -> str:
        """The architecture's name as llama.cpp knows it, such as "llama"; ModelFileInvalid where none is given."""
        value = self.metadata.get("general.architecture")
        if not isinstance(value, str) or not value:
            raise invalid(self.path, "does not name its architecture")
        return value

    @property
    def name(self) -> str:
        """The model's own name, else the file's."""
        return self._label("general.name") or self.path.stem

    @property
    def chat_template(self) -> str | None:
        """The Jinja source of the model's chat template."""
        return self._label("tokenizer.chat_template")

    @property
    def tool_template(self) -> str | None:
        """The source of the template for requests with tools, where the model has another one for these."""
        return self._label("tokenizer.chat_template.tool_use")

    @property
    def license(self) -> str | None:
        """The licence as the file names it: an SPDX expression or a name."""
        return self._label("general.license") or self._label("general.license.name")

    @property
    def quantization(self) -> str:
        """What the file calls its weights, such as "Q4_K_M", else the type that most parameters have."""
        file_type = self.metadata.get("general.file_type")
        if isinstance(file_type, int) and file_type in FILE_TYPES:
            return FILE_TYPES[file_type]
        parameters: Counter[str] = Counter()
        for tensor in self.tensors.values():
            parameters[tensor.type] += math.prod(tensor.shape)
        return parameters.most_common(1)[0][0] if parameters else "unknown"

    @property
    def parameter_count(self) -> int:
        """The number of elements of all tensors."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def trained_context_length(self) -> int:
        """How many tokens the model was trained with; raises as `shape` does."""
        return self.shape().context_length

    def token_text(self, key: str) -> str:
        """The text of the token whose id stands under `key`; '' where there is none."""
        tokens, token = self.metadata.get("tokenizer.ggml.tokens"), self.metadata.get(key)
        if isinstance(tokens, StringArray) and isinstance(token, int) and 0 <= token < len(tokens):
            return tokens[token]
        return ""

    def shape(self) -> ModelShape:
        """Gather the sizes, each held against what a model can have.

        Raises:
            ModelFileInvalid: a size is missing, is no number, is out of all proportion, or contradicts another.
        """
        block_count = self.size("block_count", MAX_BLOCKS)
        embedding_length = self.size("embedding_length", MAX_WIDTH)
        heads = self._sizes_per_block("attention.head_count", block_count)
        heads_kv = self._sizes_per_block("attention.head_count_kv", block_count, default=heads)
        for block, (count, count_kv) in enumerate(zip(heads, heads_kv, strict=True)):
            if count % count_kv:
                raise self.fault(f"has {count} attention heads but {count_kv} of keys and values in block {block}")
        if self.key("attention.key_length") not in self.metadata and embedding_length % heads[0]:
            raise self.fault(f"divides an embedding of {embedding_length} among {heads[0]} heads, which is uneven")
        tokens = self.metadata.get("tokenizer.ggml.tokens")
        embedding = self.tensors.get("token_embd.weight")
        rows = embedding.shape[1] if embedding and len(embedding.shape) == 2 else 0
        return ModelShape(
            architecture=self.architecture,
            size_bytes=sum(tensor.size for tensor in self.tensors.values()),
            parameter_count=self.parameter_count,
            context_length=self.size("context_length", MAX_CONTEXT),
            embedding_length=embedding_length,
            block_count=block_count,
            head_count=max(heads),
            head_counts_kv=heads_kv,
            key_length=self.size("attention.key_length", MAX_WIDTH, default=embedding_length // heads[0]),
            value_length=self.size("attention.value_length", MAX_WIDTH, default=embedding_length // heads[0]),
            vocabulary_size=len(tokens) if isinstance(tokens, StringArray) else rows,
            sliding_window=self.size("attention.sliding_window", 2**32 - 1, least=0, default=0),
            block_bytes=self._block_bytes(block_count),
            output_bytes=head.size if (head := self.tensors.get("output.weight", embedding)) else 0,
        )

    def key(self, name: str) -> str:
        """Return the metadata key of an architecture's own entry: "block_count" -> "llama.block_count"."""
        return f"{self.architecture}.{name}"

    def fault(self, fault: str) -> ModelFileInvalid:
        """Make the error for a value that no sound model has."""
        return invalid(self.path, fault, "The file was made wrongly: get another one of this model.")

    def text(self, key: str) -> str | None:
        """Return a text of the metadata, None where there is none; anything else under the key is refused."""
        value = self.metadata.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self.fault(f"has {value!r:.40} as '{key}', but it must be text")

    def size(self, name: str, most: int, *, least: int = 1, default: int | None = None) -> int:
        """Return an architecture's own whole number, refused outside `least` to `most`."""
        key = self.key(name)
        value = self.metadata.get(key, default)
        if value is None:
            raise self.fault(f"has no '{key}'")
        return self._checked(key, value, least, most)

    def _sizes_per_block(
        self, name: str, block_count: int, *, default: tuple[int, ...] | None = None
    ) -> tuple[int, ...]:
        key = self.key(name)
        if key not in self.metadata and default is not None:
            return default
        value = self.metadata.get(key)
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
            if len(value) != block_count:
                raise self.fault(f"has {len(value)} entries in '{key}' for {block_count} blocks")
            return tuple(self._checked(key, int(entry), 1, MAX_HEADS) for entry in value)
        return (self.size(name, MAX_HEADS),) * block_count

    def _block_bytes(self, block_count: int) -> tuple[int, ...]:
        sizes = [0] * block_count
        for name, tensor in self.tensors.items():
            if (found := _BLOCK.match(name)) and int(found[1]) < block_count:
                sizes[int(found[1])] += tensor.size
        return tuple(sizes)

    def _checked(self, key: str, value: object, least: int, most: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.fault(f"has {value!r:.40} as '{key}', but it must be a whole number from {least} to {most}")
        return value

    def _label(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) and value.strip() else None
