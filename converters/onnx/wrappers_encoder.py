"""Graphs of models that read a text at once: encoders with any head, and decoders that give vectors or scores."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from converters.onnx.graph import Graph
from converters.onnx.kinds import Kind
from converters.onnx.wrappers_longformer import Longformer

GRAPH_FILE = "model.onnx"
# The outputs of a task, with the names of the sizes that vary.
_PER_TOKEN = {0: "batch", 1: "sequence"}
OUTPUTS: dict[str, dict[str, dict[int, str]]] = {
    "features": {"last_hidden_state": _PER_TOKEN},
    "fill-mask": {"logits": _PER_TOKEN},
    "token-classify": {"logits": _PER_TOKEN},
    "question-answering": {"start_logits": _PER_TOKEN, "end_logits": _PER_TOKEN},
    "classify": {"logits": {0: "batch"}},
    "reward": {"logits": {0: "batch"}},
}


def encoder_graph(model: Any, kind: Kind) -> Graph:
    """The one graph of a model that reads a text at once."""
    outputs = OUTPUTS[kind.task]
    mask = torch.ones(2, 7, dtype=torch.int64)
    mask[0, 5:] = 0
    sample = {"input_ids": torch.arange(14).reshape(2, 7) % 5 + 5, "attention_mask": mask}
    module: nn.Module
    if kind.shape == "pooled-decoder":
        module = PooledDecoder(model, is_scoring=kind.task != "features")
    elif model.config.model_type == "longformer":
        module = Longformer(model, tuple(outputs))
        sample["global_attention_mask"] = torch.zeros(2, 7, dtype=torch.int64)
        sample["global_attention_mask"][:, 0] = 1
    else:
        module = Encoder(model, tuple(outputs))
        if getattr(model.config, "type_vocab_size", 0) > 1:
            sample["token_type_ids"] = torch.tensor([[0, 0, 0, 1, 1, 1, 1]] * 2)
    axes = {name: {0: "batch", 1: "sequence"} for name in sample} | outputs
    return Graph(GRAPH_FILE, module, sample, tuple(outputs), axes)


class Encoder(nn.Module):
    """An encoder with whatever head it has."""

    def __init__(self, model: Any, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.outputs = model, outputs

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> tuple[Any, ...]:
        """The outputs of the task; every input has the shape (batch, sequence)."""
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, **segments)
        return tuple(found[name] for name in self.outputs)


class PooledDecoder(nn.Module):
    """A decoder that gives hidden states, or the scores of its last token, with padding on either side."""

    def __init__(self, model: Any, *, is_scoring: bool) -> None:
        super().__init__()
        self.backbone = getattr(model, model.base_model_prefix) if is_scoring else model
        self.head = model.score if is_scoring else None
        self.pad = model.config.pad_token_id
        self.takes_positions = "position_ids" in inspect.signature(self.backbone.forward).parameters

    def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any, ...]:
        """Hidden states (batch, sequence, width), or scores (batch, labels)."""
        positions = {}
        if self.takes_positions:
            positions["position_ids"] = (attention_mask.cumsum(1) - 1).clamp(min=0)
        states = self.backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **positions)[0]
        if self.head is None:
            return (states,)
        # As transformers: the last token that is not the padding token, also where that ends the text itself.
        is_text = attention_mask if self.pad is None else attention_mask * (input_ids != self.pad)
        last = (torch.arange(input_ids.shape[1], device=input_ids.device) * is_text).amax(dim=1)
        rows = states.gather(1, last[:, None, None].expand(-1, -1, states.shape[2]))
        return (self.head(rows[:, 0]),)
