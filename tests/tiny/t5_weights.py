"""Random weights for models of T5's family, each of which changes what comes out."""

from __future__ import annotations

from typing import Any

import torch


def fill_t5(model: Any, *, seed: int, gain: float) -> None:
    """Fill all parameters, norms too; `gain` is that of a matrix's rows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                weight.copy_(1 + 0.3 * noise)
            elif name.endswith(("shared.weight", "relative_attention_bias.weight")):
                weight.copy_(noise)
            else:
                # T5 does not divide the scores of its attention by the root of the heads' size.
                width = weight.shape[1] * (model.config.d_kv if name.endswith(".q.weight") else 1)
                weight.copy_(gain * width**-0.5 * noise)


def untie(model: Any) -> None:
    """Give the model a head of its own, unless its config scales what goes into the embedding.

    transformers 5 ties what it makes, and unties what it loads from a checkpoint that has both.
    """
    if not getattr(model.config, "scale_decoder_outputs", False):
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
