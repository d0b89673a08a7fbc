"""Whether models look like ones of the same lineage: arithmetic between others gives noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.arithmetic.operations import is_weight
from converters.arithmetic.tokens import num_differing, tokens_of
from converters.checkpoint import Checkpoint
from converters.config import Config
from converters.tensors import Tensor
from runtime.models.files import Progress

# Of ||other - one|| / ||one||. A fine-tuning changes weights by a few hundredths; of two models that were trained from
# other beginnings it is about the square root of 2.
MOST_DISTANCE = 0.5
# What changes what is computed with the same weights.
_KEYS = (
    "model_type", "hidden_act", "hidden_activation", "num_attention_heads", "num_key_value_heads", "head_dim",
    "rms_norm_eps", "layer_norm_eps", "sliding_window", "attn_logit_softcapping", "final_logit_softcapping",
    "query_pre_attn_scalar", "tie_word_embeddings", "vocab_size",
)  # fmt: skip


def config_notes(one: Checkpoint, other: Checkpoint) -> list[str]:
    """Sentences on what the configs and the tokenizers of two checkpoints say differently."""
    notes = []
    left, right = _text(one.config), _text(other.config)
    differing = [key for key in _KEYS if left.values.get(key) != right.values.get(key)]
    told = [f"{key} {left.values.get(key)} and {right.values.get(key)}" for key in differing]
    if _rope(left) != _rope(right):
        told.append(f"rotary positions {_rope(left)} and {_rope(right)}")
    if told:
        notes.append(f"The configs of {one.name} and {other.name} differ: {'; '.join(told)}.")
    if number := num_differing(tokens_of(one), tokens_of(other)):
        notes.append(f"{number:,} ids stand for other tokens in {other.name} than in {one.name}.")
    return notes


def _text(config: Config) -> Config:
    return config.section("text_config") if "text_config" in config else config


def _rope(config: Config) -> dict[str, Any]:
    """Rotary positions as transformers 5 writes them, whichever version wrote them."""
    values = dict(config.values.get("rope_parameters") or config.values.get("rope_scaling") or {})
    if "type" in values:
        values["rope_type"] = values.pop("type")
    values.setdefault("rope_type", "default")
    if "rope_theta" in config:
        values.setdefault("rope_theta", config.values["rope_theta"])
    return values


def distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor], progress: Progress, *, title: str) -> float:
    """||other - one|| / ||one|| over all weights of two tables that are alike; reads both."""
    change = length = 0.0
    progress.start(title, sum(4 * tensor.num_elements for tensor in one.values()))
    try:
        for name, tensor in one.items():
            if not is_weight(tensor):
                continue
            for start, stop in tensor.spans():
                values = tensor.read(start, stop).astype(np.float64)
                change += float(np.square(other[name].read(start, stop) - values).sum())
                length += float(np.square(values).sum())
                progress.advance(4 * values.size)
    finally:
        progress.finish()
    return float(np.sqrt(change / length)) if length else 0.0


def distance_note(one: Checkpoint, other: Checkpoint, found: float) -> list[str]:
    """A sentence where two checkpoints are too far from each other to have much in common."""
    text = (
        f"{other.name} lies {found:.2f} times the length of {one.name} away from it: they look like models of other "
        "lineages, and what is computed of them is likely to be useless."
    )
    return [text] if found > MOST_DISTANCE else []
