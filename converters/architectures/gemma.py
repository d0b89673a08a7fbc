"""Gemma 1 to 3: norms that multiply by 1 + weight, the head always the embedding, windows in some layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from converters.architectures.base import Value
from converters.architectures.decoder import Decoder
from converters.architectures.rope import rope_of
from converters.tensors import Tensor, changed
from runtime.errors import ConversionRefused

_SANDWICH = (
    "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
)  # fmt: skip


class Gemma(Decoder):
    """The first Gemma."""

    name = "gemma"
    classes: ClassVar[tuple[str, ...]] = ("GemmaForCausalLM", "GemmaModel")
    # Old configs say "gelu" and mean the approximation: transformers took it for that.
    activations = frozenset({"gelu_pytorch_tanh", "gelu"})
    activation_keys = ("hidden_activation", "hidden_act")
    is_tied_by_default = True
    may_have_head: ClassVar[bool] = False  # in llama.cpp

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.config.values.get("use_bidirectional_attention"):
            raise ConversionRefused(f"{self.config.where} wants attention in both directions, which is not converted.")

    def changed(self, name: str, tensor: Tensor) -> Tensor:
        """llama.cpp multiplies by the weight itself."""
        return changed(tensor, lambda rows: rows + 1) if "norm" in name else tensor

    def head_of(self, found: Mapping[str, Tensor]) -> Tensor | None:
        """See `Architecture.head_of`."""
        head = super().head_of(found)
        if head is not None and not self.may_have_head:
            raise ConversionRefused(
                f"{self.checkpoint.folder} has a head that differs from its embedding, which llama.cpp's {self.name} "
                "cannot have."
            )
        return head


class Gemma2(Gemma):
    """Capped logits, norms on both sides, and a window in every second layer."""

    name = "gemma2"
    classes: ClassVar[tuple[str, ...]] = ("Gemma2ForCausalLM", "Gemma2Model")
    activations = frozenset({"gelu_pytorch_tanh"})
    norms = _SANDWICH
    pattern: ClassVar[int] = 2  # one layer of so many sees the whole context, where the config does not list them
    # The depth at which llama.cpp scales queries by width / heads instead of the head's size.
    depth_of_27b: ClassVar[int] = 46

    @property
    def context_length(self) -> int:
        """Windows are computed: the whole length is."""
        return self.config.integer("max_position_embeddings")

    def hyperparameters(self) -> dict[str, Value]:
        """See `Architecture.hyperparameters`."""
        self._check_scale()
        return super().hyperparameters() | self._windows() | self._caps()

    def _caps(self) -> dict[str, Value]:
        return {
            "attn_logit_softcapping": self.config.number("attn_logit_softcapping"),
            "final_logit_softcapping": self.config.number("final_logit_softcapping"),
        }

    def _windows(self) -> dict[str, Value]:
        types = self.config.texts("layer_types")
        every = self.config.integer("sliding_window_pattern", "_sliding_window_pattern", default=self.pattern)
        has_window = (
            [each == "sliding_attention" for each in types]
            if types
            else [(layer + 1) % every != 0 for layer in range(self.num_blocks)]
        )
        return {
            "attention.sliding_window": self.config.integer("sliding_window"),
            "attention.sliding_window_pattern": has_window,
        }

    def _check_scale(self) -> None:
        """llama.cpp derives the scale of queries from the sizes, not from the config."""
        known = self.width / self.heads if self.num_blocks == self.depth_of_27b else self.head_size
        wanted = self.config.number("query_pre_attn_scalar", default=self.head_size)
        if not math.isclose(known, wanted):
            raise ConversionRefused(
                f"{self.config.where} has {wanted:g} as 'query_pre_attn_scalar'; llama.cpp's {self.name} of this size "
                f"computes with {known:g}."
            )


class Gemma3(Gemma2):
    """Norms on queries and keys, and two rotary bases: one for layers with a window, one for the others."""

    name = "gemma3"
    classes: ClassVar[tuple[str, ...]] = ("Gemma3ForCausalLM", "Gemma3TextModel")
    has_qk_norm = True
    may_have_head = True
    pattern = 6
    depth_of_27b = 62

    def hyperparameters(self) -> dict[str, Value]:
        """See `Architecture.hyperparameters`."""
        local = rope_of(self.config, "sliding_attention")
        base = self.config.number("rope_local_base_freq", default=local.base)
        return super().hyperparameters() | {"rope.freq_base_swa": base}

    def _caps(self) -> dict[str, Value]:
        if "attn_logit_softcapping" in self.config:
            raise ConversionRefused(f"{self.config.where} caps attention, which llama.cpp's gemma3 does not.")
        cap = self.config.number("final_logit_softcapping", default=0.0)
        return {"final_logit_softcapping": cap} if cap else {}
