"""Adapters that PEFT itself made of tiny models, every trained value random, and PEFT's own model with them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import torch

BASE = "org/base"


def save_adapter(
    folder: Path,
    model: Any,
    *,
    targets: str | Sequence[str] = "all-linear",
    base: str = BASE,
    seed: int = 0,
    is_pickled: bool = False,
    saves_embeddings: bool = False,
    **settings: Any,
) -> Any:
    """Save an adapter of `model` as PEFT does, and return the model with it: what transformers computes.

    settings: of PEFT's `LoraConfig`; without others rank 4 and alpha 8.
    saves_embeddings: embeddings that were resized or trained go into the file.
    """
    listed = targets if isinstance(targets, str) else list(targets)
    settings = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT warns of what is tested
        adapted: Any = peft.get_peft_model(copy.deepcopy(model), peft.LoraConfig(target_modules=listed, **settings))
        adapted.peft_config["default"].base_model_name_or_path = base
        _randomise(adapted, seed)
        adapted.save_pretrained(folder, safe_serialization=not is_pickled, save_embedding_layers=saves_embeddings)
    return adapted.eval()


def load_adapter(folder: Path, model: Any) -> Any:
    """PEFT's model over a copy of `model` with the adapter in a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.PeftModel.from_pretrained(copy.deepcopy(model), folder).eval()


def _randomise(model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                continue
            noise = torch.randn(weight.shape, generator=generator) * 0.15
            if "lora_magnitude" in name:
                weight.mul_(1 + noise)
            elif "lora_" in name:
                weight.copy_(noise)
            else:
                weight.add_(noise)
