"""What all families share: which tensors a checkpoint must hold, and what becomes of each.

A family says the shapes it expects under transformers' names, changes the few tensors that llama.cpp lays out
differently, and names its hyperparameters; the names in the artefact come from the `gguf` package's maps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, TypeAlias

import gguf
import numpy as np

from converters.architectures.options import Options
from converters.checkpoint import Checkpoint
from converters.config import Config
from converters.pooling import pooling_of
from converters.tensors import Tensor
from runtime.errors import ConversionRefused

Shape: TypeAlias = tuple[int, ...]
# A metadata value; whole numbers are stored as uint32 (in arrays int32), others as float32, bytes as an array of uint8.
Value: TypeAlias = bool | int | float | str | bytes | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]

EMBEDDING, HEAD = "embedding", "head"
_SHOWN = 12


@dataclass(frozen=True)
class Output:
    """A tensor of the artefact: its name there, its values, and whether it stays in float32 whatever the type."""

    name: str
    tensor: Tensor
    stays_f32: bool


@dataclass
class Architecture(ABC):
    """A family. `notes` collects sentences on what the artefact does otherwise than its source."""

    checkpoint: Checkpoint
    options: Options
    notes: list[str] = field(default_factory=list)

    name: ClassVar[str]  # llama.cpp's
    classes: ClassVar[tuple[str, ...]]  # transformers', of `architectures` in config.json
    activations: ClassVar[frozenset[str]] = frozenset({"silu", "swish"})
    activation_keys: ClassVar[tuple[str, ...]] = ("hidden_act",)
    prefix: ClassVar[str] = "model."  # of all names but the head's, which a checkpoint of the bare model leaves out
    embedding: ClassVar[str] = "model.embed_tokens.weight"
    head: ClassVar[str] = "lm_head.weight"
    is_tied_by_default: ClassVar[bool] = False
    tells_whether_tied: ClassVar[bool] = True  # whether `tie_word_embeddings` in its configs means what it says
    is_decoder: ClassVar[bool] = True  # and nothing besides
    has_head: ClassVar[bool] = True  # over the vocabulary, of its own or the embedding
    has_one_embedding: ClassVar[bool] = True  # in transformers: one module that an adapter can change
    # Of the names that checkpoints hold beside the weights: buffers that are computed anew.
    ignored: ClassVar[tuple[str, ...]] = ("rotary_emb.inv_freq",)

    def __post_init__(self) -> None:
        activation = self.config.text(*self.activation_keys, default="silu")
        if activation not in self.activations:
            raise ConversionRefused(
                f"{self.config.where} has the activation '{activation}', which llama.cpp's {self.name} does not "
                f"compute; it computes {', '.join(sorted(self.activations))}."
            )

    @property
    def config(self) -> Config:
        """The values that the family is read from."""
        return self.checkpoint.config

    @property
    def is_bare(self) -> bool:
        """Whether the checkpoint was saved without a head: it gives vectors, and no text."""
        name = next(iter(self.config.texts("architectures")), "")
        return name.endswith("Model") and not name.endswith("LMHeadModel")

    @property
    def is_tied(self) -> bool:
        """Whether the head is the embedding, or there is none."""
        return self.is_bare or self.config.flag("tie_word_embeddings", default=self.is_tied_by_default)

    @property
    def vocabulary_size(self) -> int:
        """Rows of the embedding."""
        return self.config.integer("vocab_size")

    @property
    def num_blocks(self) -> int:
        """How many blocks the name map has to know."""
        return self.config.integer("num_hidden_layers", "n_layer")

    @property
    def width(self) -> int:
        """Numbers in a token's hidden state."""
        return self.config.integer("hidden_size", "n_embd", "n_embed")

    @property
    def width_ff(self) -> int:
        """Numbers in the feed-forward network."""
        return self.config.integer("intermediate_size")

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.config.integer("num_attention_heads", "n_head")

    @property
    def context_length(self) -> int:
        """The longest sequence."""
        return self.config.integer("max_position_embeddings")

    @abstractmethod
    def shapes(self) -> dict[str, Shape]:
        """Every tensor that the checkpoint must hold, rows first, but for the head."""

    def hyperparameters(self) -> dict[str, Value]:
        """Metadata under the architecture's own name; each family adds to what all have."""
        return {
            "vocab_size": self.vocabulary_size,
            "context_length": self.context_length,
            "embedding_length": self.width,
            "block_count": self.num_blocks,
            "feed_forward_length": self.width_ff,
            "attention.head_count": self.heads,
        }

    def pooling_entries(self, default: str | None = None) -> dict[str, Value]:
        """The entry that makes a model of vectors or scores of it, where one is wanted."""
        pooling = self.options.pooling or pooling_of(self.checkpoint) or default
        return {"pooling_type": int(gguf.PoolingType[pooling.upper()])} if pooling else {}

    def tokenizer_entries(self) -> dict[str, Value]:
        """Metadata under `tokenizer.ggml.` that follows from the model and not from its tokenizer."""
        return {}

    def changed(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor as llama.cpp lays it out; most are as they were."""
        del name
        return tensor

    def is_transposed(self, name: str) -> bool:
        """Whether the checkpoint has a row for each input of this matrix, where llama.cpp has one for each output."""
        del name
        return False

    def added(self) -> Iterator[Output]:
        """Tensors that the checkpoint does not hold."""
        return iter(())

    def head_of(self, found: Mapping[str, Tensor]) -> Tensor | None:
        """The output matrix to write; None where llama.cpp takes the embedding for it."""
        head = found.get(self.head)
        if not self.is_tied or head is None or are_equal(head, found[self.embedding]):
            return None if self.is_tied else head
        if self.tells_whether_tied:
            self.notes.append(f"{self.head} is written: it differs from the embedding, although the config ties them.")
        return head

    def outputs(self) -> list[Output]:
        """Every tensor of the artefact, in the order of writing.

        Raises:
            ConversionRefused: tensors are missing, unexpected or of another shape; all of them are named.
        """
        wanted = self.shapes()
        found = self._found(wanted)
        outputs = [self._output(name, self.changed(name, found[name])) for name in wanted]
        head = self.head_of(found)
        if head is not None:
            outputs.append(Output("output.weight", head, stays_f32=False))
        return [*outputs, *self.added()]

    def _found(self, wanted: dict[str, Shape]) -> dict[str, Tensor]:
        """The checkpoint's tensors by the names of `wanted`, held against its shapes."""
        found: dict[str, Tensor] = {}
        unexpected = []
        expected = {**wanted, self.head: (self.vocabulary_size, self.width)}
        for stored, tensor in self.checkpoint.tensors.items():
            name = self.canonical(stored)
            if name in expected and name not in found:
                found[name] = tensor
            elif not any(part in stored for part in self.ignored):
                unexpected.append(stored)
        missing = [name for name in expected if name not in found and not (name == self.head and self.is_tied)]
        wrong = [
            f"{name} ({size_text(tensor.shape)} instead of {size_text(expected[name])})"
            for name, tensor in found.items()
            if tensor.shape != expected[name]
        ]
        faults = [("missing", missing), ("unexpected", unexpected), ("of another shape", wrong)]
        if any(names for _, names in faults):
            told = "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in faults if names)
            raise ConversionRefused(
                f"{self.checkpoint.folder} is no whole {self.name} of {self.num_blocks} blocks. Tensors {told}.",
                remedy="Nothing was written.",
            )
        return found

    def canonical(self, name: str) -> str:
        """A stored name as the class with a head saves it."""
        if name in {self.head, self.head.replace(".weight", ".bias")} or name.startswith(self.prefix):
            return name
        return self.prefix + name

    def target(self, name: str) -> str:
        """The artefact's name for a tensor, from the gguf package's map."""
        target = self._names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ConversionRefused(f"The gguf package knows no name for '{name}' of {self.name}.")
        return target

    @cached_property
    def _names(self) -> gguf.TensorNameMap:
        number = next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == self.name)
        return gguf.get_tensor_name_map(number, self.num_blocks)

    def _output(self, name: str, tensor: Tensor) -> Output:
        target = self.target(name)
        return Output(target, tensor, stays_f32=len(tensor.shape) == 1 or "norm" in target)


def are_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same values, read a piece at a time."""
    return one.shape == other.shape and all(
        np.array_equal(a, b) for a, b in zip(one.blocks(), other.blocks(), strict=True)
    )


def size_text(shape: Shape) -> str:
    """A shape as a person writes it."""
    return " x ".join(str(size) for size in shape)


def listed(names: Sequence[str]) -> str:
    """The first names of a list that may be long."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
