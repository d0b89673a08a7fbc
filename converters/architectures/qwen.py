"""Qwen2, Qwen2.5 and Qwen3."""

from __future__ import annotations

from typing import ClassVar

from converters.architectures.decoder import Decoder


class Qwen2(Decoder):
    """Biases on queries, keys and values; a window only where the config says that it is used."""

    name = "qwen2"
    classes = ("Qwen2ForCausalLM", "Qwen2Model")
    has_qkv_bias: ClassVar[bool | None] = True

    @property
    def window(self) -> int | None:
        """See `Decoder.window`."""
        return super().window if self.config.flag("use_sliding_window", default=False) else None


class Qwen3(Qwen2):
    """Norms on queries and keys, and heads wider than the hidden state divided among them."""

    name = "qwen3"
    classes = ("Qwen3ForCausalLM", "Qwen3Model")
    has_qkv_bias = None
    has_qk_norm = True
