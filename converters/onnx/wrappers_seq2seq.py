"""The two graphs of an encoder-decoder.

The encoder gives the keys and values that every layer of the decoder reads it by, so that nothing of it is computed
again for each new token; the decoder takes any number of new tokens after any number of cached ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import EncoderDecoderCache

from converters.onnx.graph import Graph
from converters.onnx.wrappers_decoder import cache_names, cache_of, tensors_of

ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"
_BATCH, _LENGTH, _PAST, _NEW = 2, 11, 4, 3


def seq2seq_graphs(model: Any) -> tuple[Graph, Graph]:
    """The graphs of encoder and decoder."""
    attentions = cross_attentions(model)
    num_layers = len(attentions)
    mask = torch.ones(_BATCH, _LENGTH, dtype=torch.int64)
    mask[0, 8:] = 0
    ids = torch.arange(_BATCH * _LENGTH).reshape(_BATCH, _LENGTH) % 5 + 5
    cross = cache_names("cross", num_layers)
    encoder = Encoder(model)
    over_source = {0: "batch", 1: "source"}
    cross_axes = {key: {0: "batch", 2: "source"} for key in cross}
    encoder_graph = Graph(
        ENCODER_FILE,
        encoder,
        {"input_ids": ids, "attention_mask": mask},
        cross,
        {"input_ids": over_source, "attention_mask": over_source, **cross_axes},
    )
    with torch.no_grad():
        crossed = encoder(ids, mask)
    past, present = cache_names("past", num_layers), cache_names("present", num_layers)
    generator = torch.Generator().manual_seed(0)
    heads, size = crossed[0].shape[1], crossed[0].shape[3]
    cached = {name: torch.randn(_BATCH, heads, _PAST, size, generator=generator) for name in past}
    seen = torch.ones(_BATCH, _PAST + _NEW, dtype=torch.int64)
    seen[0, :2] = 0
    sample = {
        "input_ids": torch.tensor([[5, 6, 7], [8, 9, 5]]),
        "attention_mask": seen,
        "encoder_attention_mask": mask,
        **cached,
        **dict(zip(cross, crossed, strict=True)),
    }
    axes: dict[str, dict[int, str]] = {
        "input_ids": {0: "batch", 1: "sequence"},
        "attention_mask": {0: "batch", 1: "past+sequence"},
        "encoder_attention_mask": over_source,
        "logits": {0: "batch", 1: "sequence"},
        **{key: {0: "batch", 2: "past"} for key in past},
        **cross_axes,
        **{key: {0: "batch", 2: "past+sequence"} for key in present},
    }
    return encoder_graph, Graph(DECODER_FILE, Decoder(model, num_layers), sample, ("logits", *present), axes)


def cross_attentions(model: Any) -> list[tuple[Any, Any]]:
    """The projections to keys and to values by which each layer of the decoder reads the encoder."""
    decoder = model.get_decoder()
    if hasattr(decoder, "block"):  # T5's family
        found = [block.layer[1].EncDecAttention for block in decoder.block]
        return [(each.k, each.v) for each in found]
    return [(layer.encoder_attn.k_proj, layer.encoder_attn.v_proj) for layer in decoder.layers]


def num_heads(model: Any) -> int:
    """Heads of the decoder's attention."""
    config = model.config
    return int(getattr(config, "decoder_attention_heads", None) or config.num_attention_heads)


class Encoder(nn.Module):
    """An encoder, and what the decoder's layers make of its states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.get_encoder()
        self.projections = nn.ModuleList([each for pair in cross_attentions(model) for each in pair])
        self.num_heads = num_heads(model)

    def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any, ...]:
        """Keys and values of every layer of the decoder: shape (batch, heads, source, head size)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return tuple(
            projection(states).unflatten(2, (self.num_heads, -1)).transpose(1, 2) for projection in self.projections
        )


class Decoder(nn.Module):
    """A decoder with its cache, and with what it reads of the encoder, as inputs."""

    def __init__(self, model: Any, num_layers: int) -> None:
        super().__init__()
        self.model, self.num_layers = model, num_layers
        self.width = model.config.d_model

    def forward(
        self, input_ids: Any, attention_mask: Any, encoder_attention_mask: Any, *tensors: Any
    ) -> tuple[Any, ...]:
        """Logits (batch, sequence, vocabulary), then keys and values (batch, heads, past + sequence, head size)."""
        split = 2 * self.num_layers
        cache = EncoderDecoderCache(cache_of(tensors[:split]), cache_of(tensors[split:]))
        cache.is_updated = dict.fromkeys(range(self.num_layers), True)
        crossed = tensors[split]
        # Of the encoder's states only the shape is read: what the layers make of them is cached.
        states = torch.zeros(crossed.shape[0], crossed.shape[2], self.width, device=crossed.device)
        out = self.model(
            encoder_outputs=(states,),
            attention_mask=encoder_attention_mask,
            decoder_input_ids=input_ids,
            decoder_attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=True,
        )
        return (out.logits, *tensors_of(out.past_key_values.self_attention_cache))
