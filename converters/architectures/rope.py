"""Rotary positions as a config tells them: `rope_theta` and `rope_scaling`, or `rope_parameters` (transformers 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from converters.config import Config
from converters.tensors import FloatArray
from runtime.errors import ConversionRefused

_DEFAULT_BASE = 10000.0


@dataclass(frozen=True)
class Rope:
    """The base of the frequencies, what share of a head is rotated, and how longer contexts are reached."""

    base: float
    share: float
    kind: str
    scaling: Config

    @property
    def factor(self) -> float:
        """How many times longer the context was made."""
        return self.scaling.number("factor")

    def metadata(self) -> dict[str, bool | int | float | str]:
        """Its entries in a GGUF; llama3's and longrope's factors are tensors and not among them."""
        entries: dict[str, bool | int | float | str] = {"rope.freq_base": self.base}
        match self.kind:
            case "default" | "llama3" | "longrope":
                return entries
            case "linear":
                return entries | {"rope.scaling.type": "linear", "rope.scaling.factor": self.factor}
            case "yarn":
                return entries | self._yarn()
        raise ConversionRefused(
            f"{self.scaling.where} has '{self.kind}' as rope type, which is not converted; known are "
            "default, linear, llama3, longrope and yarn."
        )

    def _yarn(self) -> dict[str, bool | int | float | str]:
        """As in https://arxiv.org/abs/2309.00071; llama.cpp computes the attention factor itself, 0.1 ln(s) + 1."""
        for name in ("attention_factor", "mscale", "mscale_all_dim"):
            if name in self.scaling:
                raise ConversionRefused(f"{self.scaling.where} has '{name}', which is not converted.")
        return {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": self.factor,
            "rope.scaling.original_context_length": self.scaling.integer("original_max_position_embeddings"),
            "rope.scaling.yarn_beta_fast": self.scaling.number("beta_fast", default=32.0),
            "rope.scaling.yarn_beta_slow": self.scaling.number("beta_slow", default=1.0),
        }

    def divisors(self, head_size: int) -> FloatArray:
        """What llama3's scaling divides each frequency by: shape (head_size / 2).

        Wavelengths longer than the original context over `low_freq_factor` are divided by `factor`, those shorter than
        it over `high_freq_factor` are left, and between them it goes over smoothly (Llama 3.1's reference code).
        """
        low, high = self.scaling.number("low_freq_factor"), self.scaling.number("high_freq_factor")
        original = self.scaling.integer("original_max_position_embeddings")
        frequencies = self.base ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)
        turns = original * frequencies / (2 * math.pi)
        weight = np.clip((turns - low) / (high - low), 0.0, 1.0)
        divisors: FloatArray = (1 / ((1 - weight) / self.factor + weight)).astype(np.float32)
        return divisors


def rope_of(config: Config, layer_type: str | None = None) -> Rope:
    """Read a config's rotary positions; `layer_type` chooses where layers differ ("full_attention")."""
    parameters = config.section("rope_parameters")
    if layer_type is not None and layer_type in parameters:
        parameters = parameters.section(layer_type)
    scaling = parameters if "rope_type" in parameters else config.section("rope_scaling")
    return Rope(
        base=parameters.number(
            "rope_theta", default=config.number("rope_theta", "rotary_emb_base", default=_DEFAULT_BASE)
        ),
        share=parameters.number(
            "partial_rotary_factor", default=config.number("partial_rotary_factor", "rotary_pct", default=1.0)
        ),
        kind=scaling.text("rope_type", "type", default="default"),
        scaling=scaling,
    )
