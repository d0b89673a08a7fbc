"""A GGUF held against the checkpoint that it was made from: logits, likeliest tokens, ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converters.convert import Request, convert
from converters.gguf.compute import GgufModel
from converters.verify import kl_divergences

NUM_TOKENS = 48
NUM_GREEDY = 40


@dataclass(frozen=True)
class Parity:
    """How far llama.cpp is from transformers over one random sequence."""

    max_difference: float
    max_kl: float
    greedy: list[int]
    wanted_greedy: list[int]


def measure(gguf: Path, model: Any, *, num_tokens: int = NUM_TOKENS, seed: int = 1) -> Parity:
    """Compute the same random tokens with both."""
    rows = model.get_input_embeddings().weight.shape[0]
    tokens = np.random.default_rng(seed).integers(3, rows, num_tokens).tolist()
    ours = GgufModel(gguf)
    try:
        logits = ours.logits(tokens)
        greedy = ours.greedy(tokens[:8], NUM_GREEDY)
    finally:
        ours.close()
    wanted = _logits(model, tokens)
    return Parity(
        float(np.abs(logits - wanted).max()),
        float(kl_divergences(wanted, logits).max()),
        greedy,
        _greedy(model, tokens[:8], NUM_GREEDY),
    )


def assert_same(gguf: Path, model: Any, *, within: float, num_tokens: int = NUM_TOKENS) -> None:
    """Fail unless the two agree: logits within a difference, KL under 1e-3, the same greedy text."""
    parity = measure(gguf, model, num_tokens=num_tokens)
    assert parity.max_difference < within
    assert parity.max_kl < 1e-3
    assert parity.greedy == parity.wanted_greedy


def converted(source: Path, target: Path, type_name: str = "f32") -> Path:
    """Convert without asking for more."""
    return convert(Request(str(source), target, type_name)).path


def _logits(model: Any, tokens: list[int]) -> Any:
    with torch.no_grad():
        return model(input_ids=torch.tensor([tokens])).logits[0].float().numpy()


def _greedy(model: Any, tokens: list[int], count: int) -> list[int]:
    found = list(tokens)
    for _ in range(count):
        found.append(int(_logits(model, found)[-1].argmax()))
    return found[len(tokens) :]
