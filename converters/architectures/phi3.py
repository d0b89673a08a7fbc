"""Phi-3, Phi-3.5 and Phi-4-mini: one matrix for queries, keys and values, one for gate and up."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from converters.architectures.base import Output, Shape, Value
from converters.architectures.decoder import Decoder
from converters.architectures.rope import Rope, rope_of
from converters.tensors import of_array
from runtime.errors import ConversionRefused


class Phi3(Decoder):
    """llama.cpp reads the joined matrices as they are."""

    name = "phi3"
    classes = ("Phi3ForCausalLM", "Phi3Model")

    @property
    def rope(self) -> Rope:
        """Early configs call longrope "su"."""
        rope = rope_of(self.config)
        return Rope(rope.base, rope.share, "longrope", rope.scaling) if rope.kind == "su" else rope

    def block_shapes(self) -> dict[str, Shape]:
        """See `Decoder.block_shapes`."""
        width, width_ff = self.width, self.width_ff
        rows = (self.heads + 2 * self.heads_kv) * self.head_size
        return {
            **{f"{name}.weight": (width,) for name in self.norms},
            "self_attn.qkv_proj.weight": (rows, width),
            "self_attn.o_proj.weight": (width, self.heads * self.head_size),
            "mlp.gate_up_proj.weight": (2 * width_ff, width),
            "mlp.down_proj.weight": (width, width_ff),
        }

    def hyperparameters(self) -> dict[str, Value]:
        """See `Architecture.hyperparameters`."""
        entries = super().hyperparameters()
        if self.rope.kind == "longrope":
            original = self._original_length
            ratio = self.config.integer("max_position_embeddings") / original
            # As transformers and https://arxiv.org/abs/2402.13753 scale attention.
            factor = math.sqrt(1 + math.log(ratio) / math.log(original)) if ratio > 1 else 1.0
            entries["rope.scaling.original_context_length"] = original
            entries["rope.scaling.attn_factor"] = self.rope.scaling.number("attention_factor", default=factor)
            self.notes.append(
                f"llama.cpp chooses the rotary factors by its context, not by the text's length: beyond {original} "
                "tokens of context it uses the long ones for short texts too."
            )
        return entries

    @property
    def _original_length(self) -> int:
        scaling = self.rope.scaling
        return scaling.integer(
            "original_max_position_embeddings", default=self.config.integer("original_max_position_embeddings")
        )

    def added(self) -> Iterator[Output]:
        """The factors of longrope, for short and for long contexts."""
        yield from super().added()
        if self.rope.kind != "longrope":
            return
        size = int(self.head_size * self.rope.share) // 2
        for length in ("long", "short"):
            factors = self.rope.scaling.numbers(f"{length}_factor")
            if len(factors) != size:
                raise ConversionRefused(
                    f"{self.config.where} has {len(factors)} factors in '{length}_factor', not {size}."
                )
            yield Output(f"rope_factors_{length}.weight", of_array(np.array(factors, np.float32)), stays_f32=True)
