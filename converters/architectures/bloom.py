"""BLOOM and BLOOMZ."""

from __future__ import annotations

from converters.architectures.base import Shape
from converters.architectures.joined import JoinedDecoder
from converters.tensors import Tensor
from runtime.errors import ConversionRefused

# What it was trained on, where the config does not say; ALiBi itself has no end.
_CONTEXT = 2048


class Bloom(JoinedDecoder):
    """Distances between tokens instead of positions (ALiBi), a norm after the embedding, a fixed activation."""

    name = "bloom"
    classes = ("BloomForCausalLM", "BloomModel")
    activations = frozenset({"silu"})  # the config names none: it is always GELU
    prefix = "transformer."
    embedding = "transformer.word_embeddings.weight"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.config.flag("apply_residual_connection_post_layernorm", default=False):
            raise ConversionRefused(f"{self.config.where} adds residuals after the norm, which llama.cpp does not.")

    @property
    def width_ff(self) -> int:
        """See `Architecture.width_ff`; its configs do not say it."""
        return 4 * self.width

    @property
    def context_length(self) -> int:
        """See `Architecture.context_length`."""
        return self.config.integer("seq_length", default=_CONTEXT)

    def shapes(self) -> dict[str, Shape]:
        """See `Architecture.shapes`."""
        shapes: dict[str, Shape] = {self.embedding: (self.vocabulary_size, self.width)}
        block = self.layer(
            ("input_layernorm", "post_attention_layernorm"),
            ("self_attention.query_key_value", "self_attention.dense"),
            ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
        )
        norm = dict.fromkeys(("weight", "bias"), (self.width,))
        shapes |= {f"transformer.word_embeddings_layernorm.{part}": shape for part, shape in norm.items()}
        for index in range(self.num_blocks):
            shapes |= {f"transformer.h.{index}.{name}": shape for name, shape in block.items()}
        return shapes | {f"transformer.ln_f.{part}": shape for part, shape in norm.items()}

    def target(self, name: str) -> str:
        """The gguf package knows these names without their prefix."""
        return super().target(name.removeprefix(self.prefix))

    def changed(self, name: str, tensor: Tensor) -> Tensor:
        """See `Architecture.changed`."""
        return self.regrouped(tensor) if ".query_key_value." in name else tensor
