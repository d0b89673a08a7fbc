"""GPT-NeoX (Pythia, Polyglot-Ko)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from converters.architectures.base import Output, Shape, Value
from converters.architectures.joined import JoinedDecoder
from converters.architectures.rope import rope_of
from converters.tensors import Tensor, of_array


class GptNeoX(JoinedDecoder):
    """Rotary positions on a share of each head, and attention beside the feed-forward network."""

    name = "gptneox"
    classes = ("GPTNeoXForCausalLM", "GPTNeoXModel")
    prefix = "gpt_neox."
    embedding = "gpt_neox.embed_in.weight"
    head = "embed_out.weight"
    is_tied_by_default = False
    ignored = (".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq")

    @property
    def _has_bias(self) -> bool:
        return self.config.flag("attention_bias", default=True)

    def shapes(self) -> dict[str, Shape]:
        """See `Architecture.shapes`."""
        shapes: dict[str, Shape] = {self.embedding: (self.vocabulary_size, self.width)}
        attention = ("attention.query_key_value", "attention.dense")
        block = self.layer(
            ("input_layernorm", "post_attention_layernorm"), attention, ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
        )
        if not self._has_bias:
            block = {name: shape for name, shape in block.items() if name not in {f"{each}.bias" for each in attention}}
        for index in range(self.num_blocks):
            shapes |= {f"gpt_neox.layers.{index}.{name}": shape for name, shape in block.items()}
        return shapes | {f"gpt_neox.final_layer_norm.{part}": (self.width,) for part in ("weight", "bias")}

    def canonical(self, name: str) -> str:
        """See `Architecture.canonical`; newer ones call the head `lm_head`."""
        return self.head if name == "lm_head.weight" else super().canonical(name)

    def changed(self, name: str, tensor: Tensor) -> Tensor:
        """See `Architecture.changed`."""
        return self.regrouped(tensor) if ".query_key_value." in name else tensor

    def head_of(self, found: Mapping[str, Tensor]) -> Tensor | None:
        """llama.cpp's gptneox always has a head of its own."""
        return super().head_of(found) or found[self.embedding]

    def hyperparameters(self) -> dict[str, Value]:
        """See `Architecture.hyperparameters`."""
        rope = rope_of(self.config)
        return super().hyperparameters() | {
            "use_parallel_residual": self.config.flag("use_parallel_residual", default=True),
            "rope.dimension_count": int(self.width // self.heads * rope.share),
            **rope.metadata(),
        }

    def added(self) -> Iterator[Output]:
        """Biases of nothing, where the source has none: llama.cpp's gptneox wants them."""
        if self._has_bias:
            return
        for block in range(self.num_blocks):
            for name, size in (("attn_qkv", 3 * self.width), ("attn_output", self.width)):
                yield Output(f"blk.{block}.{name}.bias", of_array(np.zeros(size, np.float32)), stays_f32=True)
