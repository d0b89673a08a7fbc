"""GPT-2, also with other tokenizers (Goldfish)."""

from __future__ import annotations

from converters.architectures.base import Shape
from converters.architectures.joined import JoinedDecoder
from converters.tensors import Tensor, transposed
from runtime.errors import ConversionRefused

_TRANSPOSED = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")


class Gpt2(JoinedDecoder):
    """Its matrices are stored with a row for each input, llama.cpp's with a row for each output."""

    name = "gpt2"
    classes = ("GPT2LMHeadModel", "GPT2Model")
    activation_keys = ("activation_function",)
    prefix = "transformer."
    embedding = "transformer.wte.weight"
    ignored = (".attn.bias", ".attn.masked_bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.config.flag("scale_attn_by_inverse_layer_idx", default=False) or not self.config.flag(
            "scale_attn_weights", default=True
        ):
            raise ConversionRefused(f"{self.config.where} scales attention in a way that llama.cpp's gpt2 does not.")

    @property
    def width_ff(self) -> int:
        """See `Architecture.width_ff`."""
        return self.config.integer("n_inner", default=4 * self.width)

    @property
    def context_length(self) -> int:
        """transformers stopped writing `n_ctx`."""
        return self.config.integer("n_positions", "n_ctx")

    def shapes(self) -> dict[str, Shape]:
        """See `Architecture.shapes`."""
        shapes: dict[str, Shape] = {
            self.embedding: (self.vocabulary_size, self.width),
            "transformer.wpe.weight": (self.context_length, self.width),
        }
        block = self.layer(("ln_1", "ln_2"), ("attn.c_attn", "attn.c_proj"), ("mlp.c_fc", "mlp.c_proj"))
        for index in range(self.num_blocks):
            for name, shape in block.items():
                whole = f"transformer.h.{index}.{name}"
                shapes[whole] = shape[::-1] if self.is_transposed(whole) else shape
        return shapes | {f"transformer.ln_f.{part}": (self.width,) for part in ("weight", "bias")}

    def changed(self, name: str, tensor: Tensor) -> Tensor:
        """See `Architecture.changed`."""
        return transposed(tensor) if self.is_transposed(name) else tensor

    def is_transposed(self, name: str) -> bool:
        """See `Architecture.is_transposed`."""
        return name.endswith(_TRANSPOSED)
