"""Whether a model fits this machine: by the plan for its header or, before it is here, for one of about its size."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.config import EngineConfig
from runtime.errors import ModelLoadFailed
from runtime.hardware.choice import plan_for
from runtime.hardware.probe import Machine
from runtime.models.encoding import Encoding
from runtime.models.header import ModelShape
from runtime.models.quantization import quantization_of

# Layers, width, heads of a few sizes, by how many parameters they have. The rest is the same in all: 8 heads of keys
# and values of 128 each, 151,936 tokens, 40,960 of context. From config.json of Qwen/Qwen3-0.6B to Qwen3-32B.
_PUBLISHED = {
    596_049_920: (28, 1024, 16),
    1_720_574_976: (28, 2048, 16),
    4_022_468_096: (36, 2560, 32),
    8_190_735_360: (36, 4096, 32),
    14_768_307_200: (40, 5120, 40),
    32_762_123_264: (64, 5120, 64),
}
# Bits a weight by the digits in a quantization's name, the most of its kinds (llama.cpp, tools/quantize/README.md).
_BITS = {"1": 2.0, "2": 3.2, "3": 4.3, "4": 4.9, "5": 5.7, "6": 6.6, "8": 8.5, "16": 16.0, "32": 32.0}
_UNKNOWN_BITS = 8.5
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Fit:
    """Whether a model can be run here, and what it takes then; None is that nothing is known of its size.

    estimated_bytes: memory of the machine and its cards together. is_estimate: the model's header is not here, and the
    plan is that for a model of about its size. reason: why it does not fit; empty where it does.
    """

    fits: bool | None
    is_estimate: bool
    estimated_bytes: int | None = None
    context_length: int | None = None
    gpu_layers: int | None = None
    reason: str = ""


def fit_of(machine: Machine, shape: ModelShape, encoding: Encoding | None = None, *, is_estimate: bool = False) -> Fit:
    """Whether a model of this shape fits the machine, as `demotic serve` would run it."""
    try:
        chosen = plan_for(machine, shape, EngineConfig(), encoding)
    except ModelLoadFailed as refusal:
        return Fit(False, is_estimate, reason=str(refusal))
    return Fit(True, is_estimate, chosen.estimated_bytes, chosen.context_length, chosen.gpu_layers)


def fit_of_size(
    machine: Machine, *, file: str = "", size_bytes: int | None = None, parameters: int | None = None
) -> Fit:
    """Whether a model of which only this is known fits: its file's name (for the quantization), bytes, parameters."""
    bits = _bits_of(file)
    if size_bytes is None and parameters is None:
        return Fit(None, is_estimate=True)
    if parameters is None:
        parameters = int((size_bytes or 0) * 8 / bits)
    if size_bytes is None:
        size_bytes = int(parameters * bits / 8)
    return fit_of(machine, shape_of_size(parameters, size_bytes), is_estimate=True)


def shape_of_size(parameters: int, size_bytes: int) -> ModelShape:
    """The sizes of a published model that has at least so many parameters, with the bytes of this one."""
    like = next((count for count in _PUBLISHED if count >= parameters), max(_PUBLISHED))
    blocks, width, heads = _PUBLISHED[like]
    return ModelShape(
        architecture="qwen3",
        size_bytes=size_bytes,
        parameter_count=max(1, parameters),
        context_length=40_960,
        embedding_length=width,
        block_count=blocks,
        head_count=heads,
        head_counts_kv=(8,) * blocks,
        key_length=128,
        value_length=128,
        vocabulary_size=151_936,
        sliding_window=0,
    )


def _bits_of(file: str) -> float:
    digits = _DIGITS.search(quantization_of(file) or "")
    return _BITS.get(digits[0], _UNKNOWN_BITS) if digits else _UNKNOWN_BITS
