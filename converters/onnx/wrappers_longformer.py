"""Longformer's attention as one product over the whole text, which a graph of any length can hold.

Its own code cuts texts into windows in Python, and a trace of that knows one length. Here every token is held against
every other, and a mask leaves what the windows and the global tokens would. Source: Beltagy et al. 2020, section 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Longformer(nn.Module):
    """A Longformer with whatever head it has."""

    def __init__(self, model: Any, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.base = getattr(model, model.base_model_prefix, model)
        self.head = next(
            (getattr(model, name) for name in ("lm_head", "classifier", "qa_outputs") if hasattr(model, name)), None
        )
        self.outputs = outputs
        self.padding = model.config.pad_token_id

    def forward(self, input_ids: Any, attention_mask: Any, global_attention_mask: Any) -> tuple[Any, ...]:
        """The outputs of the task; every input has the shape (batch, sequence)."""
        is_text = (input_ids != self.padding).to(torch.int64)
        positions = is_text.cumsum(1) * is_text + self.padding
        states = self.base.embeddings(input_ids=input_ids, position_ids=positions)
        for layer in self.base.encoder.layer:
            attended = _attend(layer.attention.self, states, attention_mask > 0, global_attention_mask > 0)
            attended = layer.attention.output(attended, states)
            states = layer.output(layer.intermediate(attended), attended)
        if self.head is None:
            return (states,)
        found = self.head(states)
        return (found,) if len(self.outputs) == 1 else (found[..., 0], found[..., 1])


def _attend(layer: Any, states: Any, is_text: Any, is_global: Any) -> Any:
    """One layer's attention: states (batch, sequence, width), masks (batch, sequence)."""
    places = torch.arange(states.shape[1], device=states.device)
    is_near = (places[:, None] - places[None, :]).abs() <= layer.one_sided_attn_window_size
    is_seen = (is_near[None] | is_global[:, None, :]) & is_text[:, None, :]
    local = _product(layer, layer.query(states), layer.key(states), layer.value(states), is_seen)
    everywhere = is_text[:, None, :].expand_as(is_seen)
    whole = _product(
        layer, layer.query_global(states), layer.key_global(states), layer.value_global(states), everywhere
    )
    # Its own code gives padding no attention at all.
    return torch.where(is_global[..., None], whole, local) * is_text[..., None]


def _product(layer: Any, query: Any, key: Any, value: Any, is_seen: Any) -> Any:
    query, key, value = (
        each.unflatten(2, (layer.num_heads, layer.head_dim)).transpose(1, 2) for each in (query, key, value)
    )
    scores = query @ key.transpose(2, 3) * layer.head_dim**-0.5
    scores = scores.masked_fill(~is_seen[:, None], torch.finfo(scores.dtype).min)
    return (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
