"""The graph of a decoder: any number of new tokens after any number of cached ones."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from converters.onnx.graph import Graph

GRAPH_FILE = "model.onnx"


def cache_names(prefix: str, num_layers: int) -> tuple[str, ...]:
    """Names of the keys and values of all layers, in the order of inputs and outputs."""
    return tuple(f"{prefix}.{layer}.{part}" for layer in range(num_layers) for part in ("key", "value"))


def cache_of(tensors: tuple[Any, ...]) -> DynamicCache:
    """A cache that holds these keys and values, layer by layer."""
    cache = DynamicCache()
    for layer in range(len(tensors) // 2):
        cache.update(tensors[2 * layer], tensors[2 * layer + 1], layer)
    return cache


def tensors_of(cache: Any) -> tuple[Any, ...]:
    """Keys and values of a cache, layer by layer."""
    return tuple(tensor for layer in cache.layers for tensor in (layer.keys, layer.values))


def takes_positions(model: Any) -> bool:
    """Whether the positions of tokens are given; else they follow from the mask."""
    return "position_ids" in inspect.signature(model.forward).parameters


def empty_cache(model: Any, batch: int, length: int = 0) -> tuple[Any, ...]:
    """Keys and values of `length` tokens, of the shapes that the model's layers have."""
    with torch.no_grad():
        cache = model(input_ids=torch.zeros(1, 1, dtype=torch.int64), use_cache=True).past_key_values
    return tuple(torch.zeros(batch, each.shape[1], length, each.shape[3]) for each in tensors_of(cache))


def decoder_graph(model: Any) -> Graph:
    """The graph of a model that goes on with a text."""
    cached = empty_cache(model, 2, 4)
    num_layers = len(cached) // 2
    mask = torch.ones(2, 7, dtype=torch.int64)
    mask[0, :2] = 0
    sample: dict[str, Any] = {"input_ids": torch.tensor([[5, 6, 7], [8, 9, 5]]), "attention_mask": mask}
    axes: dict[str, dict[int, str]] = {
        "input_ids": {0: "batch", 1: "sequence"},
        "attention_mask": {0: "batch", 1: "past+sequence"},
        "logits": {0: "batch", 1: "sequence"},
    }
    if has_positions := takes_positions(model):
        sample["position_ids"] = torch.tensor([[2, 3, 4], [4, 5, 6]])
        axes["position_ids"] = {0: "batch", 1: "sequence"}
    past, present = cache_names("past", num_layers), cache_names("present", num_layers)
    generator = torch.Generator().manual_seed(0)
    sample |= {name: torch.randn(each.shape, generator=generator) for name, each in zip(past, cached, strict=True)}
    axes |= {key: {0: "batch", 2: "past"} for key in past} | {key: {0: "batch", 2: "past+sequence"} for key in present}
    return Graph(GRAPH_FILE, Decoder(model, has_positions=has_positions), sample, ("logits", *present), axes)


class Decoder(nn.Module):
    """A decoder with its cache as inputs and outputs."""

    def __init__(self, model: Any, *, has_positions: bool) -> None:
        super().__init__()
        self.model, self.has_positions = model, has_positions

    def forward(self, input_ids: Any, attention_mask: Any, *rest: Any) -> tuple[Any, ...]:
        """Logits (batch, sequence, vocabulary), then keys and values (batch, heads, past + sequence, head size)."""
        positions = {"position_ids": rest[0]} if self.has_positions else {}
        out = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=cache_of(rest[self.has_positions :]),
            use_cache=True,
            **positions,
        )
        return (out.logits, *tensors_of(out.past_key_values))
