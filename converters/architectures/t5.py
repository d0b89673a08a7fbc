"""T5, mT5, mT0, Flan-T5, ByT5 and MonoByte: encoder-decoders with relative positions."""

from __future__ import annotations

import numpy as np

from converters.architectures.base import Architecture, Shape, Value
from converters.bytes import is_of_bytes
from converters.tensors import Tensor, changed
from runtime.errors import ConversionRefused

# Positions are relative and have no end: what texts were cut to in training, where the config does not say.
_CONTEXT, _CONTEXT_OF_BYTES = 512, 1024


class T5(Architecture):
    """llama.cpp computes ReLU without a gate and GELU with one, as the first T5 and all later ones have it."""

    name = "t5"
    classes = (
        "T5ForConditionalGeneration", "T5WithLMHeadModel", "MT5ForConditionalGeneration",
        "UMT5ForConditionalGeneration",
    )  # fmt: skip
    activations = frozenset({"relu", "gated-gelu"})
    activation_keys = ("feed_forward_proj",)
    embedding = "shared.weight"
    is_tied_by_default = True
    tells_whether_tied = False  # newer versions of transformers say so of all heads, and write those that are not
    is_decoder = False
    has_one_embedding = False  # encoder and decoder have one each, which llama.cpp reads from one tensor
    # The embedding again, and a table of old checkpoints that transformers does not use either.
    ignored = ("coder.embed_tokens.", ".EncDecAttention.relative_attention_bias.")

    def __post_init__(self) -> None:
        if "feed_forward_proj" not in self.config:
            is_mt5 = self.config.values.get("model_type") == "mt5"
            self.config.values["feed_forward_proj"] = "gated-gelu" if is_mt5 else "relu"  # transformers' defaults
        super().__post_init__()
        if "UMT5ForConditionalGeneration" in self.config.texts("architectures"):
            raise ConversionRefused(
                f"{self.checkpoint.folder} has relative positions in every layer (UMT5), which is not converted.",
                remedy="The nearest that is: MT5ForConditionalGeneration.",
            )
        if self.depths["decoder"] > self.depths["encoder"]:
            raise ConversionRefused(
                f"{self.checkpoint.folder} has a decoder of {self.depths['decoder']} layers over an encoder of "
                f"{self.depths['encoder']}; llama.cpp computes those whose encoder is as deep or deeper."
            )

    @property
    def depths(self) -> dict[str, int]:
        """Layers of the encoder and of the decoder."""
        layers = self.config.integer("num_layers")
        return {"encoder": layers, "decoder": self.config.integer("num_decoder_layers", default=layers)}

    @property
    def num_blocks(self) -> int:
        """See `Architecture.num_blocks`: the encoder is the deeper one."""
        return self.depths["encoder"]

    @property
    def width(self) -> int:
        """See `Architecture.width`."""
        return self.config.integer("d_model")

    @property
    def width_ff(self) -> int:
        """See `Architecture.width_ff`."""
        return self.config.integer("d_ff")

    @property
    def heads(self) -> int:
        """See `Architecture.heads`."""
        return self.config.integer("num_heads")

    @property
    def context_length(self) -> int:
        """See `Architecture.context_length`."""
        default = _CONTEXT_OF_BYTES if is_of_bytes(self.checkpoint) else _CONTEXT
        return self.config.integer("n_positions", default=default)

    @property
    def is_scaled(self) -> bool:
        """Whether what goes into the head is divided by the root of the width, as where T5 ties it to the embedding.

        mT5 never ties them, whatever transformers 5 writes into its config.
        """
        if self.config.text("model_type", default=self.name) != self.name:
            return self.config.flag("scale_decoder_outputs", default=False)
        return self.config.flag("scale_decoder_outputs", "tie_word_embeddings", default=True)

    def canonical(self, name: str) -> str:
        """All names are whole."""
        return name

    def shapes(self) -> dict[str, Shape]:
        """See `Architecture.shapes`."""
        shapes: dict[str, Shape] = {self.embedding: (self.vocabulary_size, self.width)}
        for part, parts in (("encoder", ("SelfAttention",)), ("decoder", ("SelfAttention", "EncDecAttention"))):
            for block in range(self.depths[part]):
                for layer, attention in enumerate(parts):
                    shapes |= self._attention(f"{part}.block.{block}.layer.{layer}", attention)
                shapes |= self._feed_forward(f"{part}.block.{block}.layer.{len(parts)}")
            buckets = self.config.integer("relative_attention_num_buckets", default=32)
            bias = f"{part}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
            shapes[bias] = (buckets, self.heads)
            shapes[f"{part}.final_layer_norm.weight"] = (self.width,)
        return shapes

    def _attention(self, layer: str, name: str) -> dict[str, Shape]:
        width_heads = self.heads * self.config.integer("d_kv")
        shapes: dict[str, Shape] = {f"{layer}.{name}.{each}.weight": (width_heads, self.width) for each in "qkv"}
        shapes[f"{layer}.{name}.o.weight"] = (self.width, width_heads)
        return shapes | {f"{layer}.layer_norm.weight": (self.width,)}

    def _feed_forward(self, layer: str) -> dict[str, Shape]:
        inner = ("wi_0", "wi_1") if self.config.text("feed_forward_proj") == "gated-gelu" else ("wi",)
        shape = (self.width_ff, self.width)
        shapes: dict[str, Shape] = {f"{layer}.DenseReluDense.{each}.weight": shape for each in inner}
        shapes[f"{layer}.DenseReluDense.wo.weight"] = shape[::-1]
        return shapes | {f"{layer}.layer_norm.weight": (self.width,)}

    def changed(self, name: str, tensor: Tensor) -> Tensor:
        """llama.cpp does not scale what goes into the head: the norm before it does."""
        if name == "decoder.final_layer_norm.weight" and self.is_scaled:
            scale = np.float32(self.width**-0.5)
            return changed(tensor, lambda rows: rows * scale)
        return tensor

    def hyperparameters(self) -> dict[str, Value]:
        """See `Architecture.hyperparameters`."""
        return super().hyperparameters() | {
            "decoder_block_count": self.depths["decoder"],
            "attention.key_length": self.config.integer("d_kv"),
            "attention.value_length": self.config.integer("d_kv"),
            "attention.layer_norm_rms_epsilon": self.config.number("layer_norm_epsilon", default=1e-6),
            "attention.relative_buckets_count": self.config.integer("relative_attention_num_buckets", default=32),
            "decoder_start_token_id": self.config.integer("decoder_start_token_id", "pad_token_id", default=0),
        }
