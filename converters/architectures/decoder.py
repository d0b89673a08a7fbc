"""Decoders like Llama: RMS norms, rotary positions, grouped keys and values, a gated feed-forward network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from converters.architectures.base import Architecture, Output, Shape, Value
from converters.architectures.rope import Rope, rope_of
from converters.tensors import of_array
from runtime.errors import ConversionRefused


class Decoder(Architecture):
    """The shapes and hyperparameters of Llama, which its relatives change in a few places."""

    has_qkv_bias: ClassVar[bool | None] = None  # None: as `attention_bias` says
    has_qk_norm: ClassVar[bool] = False
    norms: ClassVar[tuple[str, ...]] = ("input_layernorm", "post_attention_layernorm")

    @property
    def heads_kv(self) -> int:
        """Heads of keys and values."""
        return self.config.integer("num_key_value_heads", default=self.heads)

    @property
    def head_size(self) -> int:
        """Numbers in a head."""
        return self.config.integer("head_dim", default=self.width // self.heads)

    @property
    def rope(self) -> Rope:
        """Rotary positions of layers that see the whole context."""
        return rope_of(self.config, "full_attention")

    @property
    def context_length(self) -> int:
        """Positions that llama.cpp computes as the source does: not beyond a window that it does not know."""
        length = super().context_length
        window = self.window
        if window is None or window >= length:
            return length
        note = f"The context ends at {window} tokens: llama.cpp's {self.name} knows no sliding window."
        if note not in self.notes:
            self.notes.append(note)
        return window

    @property
    def window(self) -> int | None:
        """Tokens that some layers see back, where llama.cpp's architecture would let them see all."""
        return self.config.integer("sliding_window", default=0) or None

    def shapes(self) -> dict[str, Shape]:
        """See `Architecture.shapes`."""
        shapes: dict[str, Shape] = {self.embedding: (self.vocabulary_size, self.width)}
        for block in range(self.num_blocks):
            for name, shape in self.block_shapes().items():
                shapes[f"model.layers.{block}.{name}"] = shape
        return shapes | {"model.norm.weight": (self.width,)}

    def block_shapes(self) -> dict[str, Shape]:
        """Shapes of one block's tensors."""
        width, width_ff = self.width, self.width_ff
        width_q, width_kv = self.heads * self.head_size, self.heads_kv * self.head_size
        shapes: dict[str, Shape] = {f"{name}.weight": (width,) for name in self.norms}
        for name, rows in (("q_proj", width_q), ("k_proj", width_kv), ("v_proj", width_kv)):
            shapes[f"self_attn.{name}.weight"] = (rows, width)
            if self._has_bias():
                shapes[f"self_attn.{name}.bias"] = (rows,)
        shapes["self_attn.o_proj.weight"] = (width, width_q)
        if self.has_qkv_bias is None and self._has_bias():
            shapes["self_attn.o_proj.bias"] = (width,)
        if self.has_qk_norm:
            shapes |= {f"self_attn.{name}.weight": (self.head_size,) for name in ("q_norm", "k_norm")}
        for name, rows, columns in (
            ("gate_proj", width_ff, width),
            ("up_proj", width_ff, width),
            ("down_proj", width, width_ff),
        ):
            shapes[f"mlp.{name}.weight"] = (rows, columns)
            if self.config.flag("mlp_bias", default=False):
                shapes[f"mlp.{name}.bias"] = (rows,)
        return shapes

    def _has_bias(self) -> bool:
        if self.has_qkv_bias is not None:
            return self.has_qkv_bias
        return self.config.flag("attention_bias", default=False)

    def hyperparameters(self) -> dict[str, Value]:
        """See `Architecture.hyperparameters`."""
        if self.heads_kv == 0 or self.heads % self.heads_kv:
            raise ConversionRefused(f"{self.config.where} divides {self.heads} heads among {self.heads_kv}.")
        return super().hyperparameters() | {
            "attention.head_count_kv": self.heads_kv,
            "attention.key_length": self.head_size,
            "attention.value_length": self.head_size,
            "attention.layer_norm_rms_epsilon": self.config.number("rms_norm_eps"),
            "rope.dimension_count": int(self.head_size * self.rope.share),
            **self.rope.metadata(),
            **self._vectors(),
        }

    def _vectors(self) -> dict[str, Value]:
        entries = self.pooling_entries()
        if self.is_bare and not entries:
            raise ConversionRefused(
                f"{self.checkpoint.folder} has no head, so it gives no text.",
                remedy="If it gives vectors, say how they are made: --pooling last, mean or cls.",
            )
        return entries

    def added(self) -> Iterator[Output]:
        """The divisors of llama3's rope, which llama.cpp reads as a tensor."""
        if self.rope.kind == "llama3":
            yield Output("rope_freqs.weight", of_array(self.rope.divisors(self.head_size)), stays_f32=True)
