"""A GGUF held against the checkpoint that it was made from: logits, likeliest tokens, ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converters.convert import Request, convert
from converters.likelihood import kl_divergences
from converters.served import ServedModel
from converters.tensors import FloatArray
from runtime.backends.base import Chunk
from runtime.models.adapter import check_adapter
from runtime.models.inspect import read_header

NUM_TOKENS = 48
NUM_GREEDY = 40


@dataclass(frozen=True)
class Parity:
    """How far llama.cpp is from transformers over one random sequence."""

    max_difference: float
    max_kl: float
    greedy: list[int]
    wanted_greedy: list[int]


class WithLora(ServedModel):
    """A GGUF computed with a LoRA beside it, which is checked as a server does."""

    def __init__(self, path: Path, lora: Path) -> None:
        check_adapter(lora, read_header(path))
        super().__init__(path)
        self._decoder.attach("lora", lora)

    def _decode(self, tokens: Sequence[int], position: int) -> FloatArray:
        return self._decoder.forward([Chunk(0, position, tokens, len(tokens))], "lora").copy()


def measure(gguf: Path, model: Any, *, num_tokens: int = NUM_TOKENS, seed: int = 1, lora: Path | None = None) -> Parity:
    """Compute the same random tokens with both."""
    rows = model.get_input_embeddings().weight.shape[0]
    tokens = np.random.default_rng(seed).integers(3, rows, num_tokens).tolist()
    ours = ServedModel(gguf) if lora is None else WithLora(gguf, lora)
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


def assert_same(
    gguf: Path, model: Any, *, within: float, num_tokens: int = NUM_TOKENS, lora: Path | None = None
) -> None:
    """Fail unless the two agree: logits within a difference, KL under 1e-3, the same greedy text."""
    parity = measure(gguf, model, num_tokens=num_tokens, lora=lora)
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
