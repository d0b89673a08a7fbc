"""What would go wrong in silence: each step taken away, the file still loads, and parity shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.architectures.base import Architecture
from converters.architectures.gpt2 import Gpt2
from converters.architectures.registry import FAMILIES
from converters.convert import Request, convert
from converters.tensors import Tensor, transposed
from tests.converters.families import Families
from tests.converters.parity import measure


def family_class(name: str) -> type[Architecture]:
    return next(family for family in FAMILIES if family.name == name)


def unchanged(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(family_class(name), "changed", lambda self, _name, tensor: tensor)


def square_matrices_not_transposed(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(self: Gpt2, name: str, tensor: Tensor) -> Tensor:
        is_square = tensor.shape[0] == tensor.shape[-1]
        return transposed(tensor) if len(tensor.shape) == 2 and "h." in name and not is_square else tensor

    monkeypatch.setattr(Gpt2, "changed", changed)


def without(monkeypatch: pytest.MonkeyPatch, name: str, *keys: str) -> None:
    family = family_class(name)
    whole = family.hyperparameters

    def less(self: Any) -> dict[str, Any]:
        return {key: value for key, value in whole(self).items() if key not in keys}

    monkeypatch.setattr(family, "hyperparameters", less)


def without_added(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(family_class(name), "added", lambda self: iter(()))


TRAPS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "queries and keys in another order": ("llama", lambda patch: unchanged(patch, "llama")),
    "biases of queries and keys in another order": ("llama-biased", lambda patch: unchanged(patch, "llama")),
    "llama3's factors not written": ("llama3-tied", lambda patch: without_added(patch, "llama")),
    "linear scaling not written": ("llama-linear", lambda patch: without(patch, "llama", "rope.scaling.factor")),
    "yarn not written": ("qwen2-yarn", lambda patch: without(patch, "qwen2", "rope.scaling.type")),
    "longrope's factors not written": ("phi-longrope", lambda patch: without_added(patch, "phi3")),
    "longrope's scale of attention not written": (
        "phi-longrope",
        lambda patch: without(patch, "phi3", "rope.scaling.attn_factor"),
    ),
    "rotary base not written": ("qwen2", lambda patch: without(patch, "qwen2", "rope.freq_base")),
    "norms not raised by one": ("gemma", lambda patch: unchanged(patch, "gemma")),
    "window not written": ("gemma3", lambda patch: without(patch, "gemma3", "attention.sliding_window")),
    "window of Gemma 2 not written": ("gemma2", lambda patch: without(patch, "gemma2", "attention.sliding_window")),
    "base of layers with a window not written": (
        "gemma3",
        lambda patch: without(patch, "gemma3", "rope.freq_base_swa"),
    ),
    "caps not written": (
        "gemma2",
        lambda patch: without(patch, "gemma2", "attn_logit_softcapping", "final_logit_softcapping"),
    ),
    "square matrices not transposed": ("gpt2", square_matrices_not_transposed),
    "queries, keys and values head by head": ("gpt_neox", lambda patch: unchanged(patch, "gptneox")),
    "queries, keys and values of BLOOM head by head": ("bloom", lambda patch: unchanged(patch, "bloom")),
    "share that is rotated not written": ("gpt_neox", lambda patch: without(patch, "gptneox", "rope.dimension_count")),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_parity_shows_a_step_that_is_left_out(
    trap: str, families: Families, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name, step_out = TRAPS[trap]
    family = families[name]
    step_out(monkeypatch)
    wrong = convert(Request(str(family.folder), tmp_path / "wrong.gguf", "f32"))
    assert measure(wrong.path, family.model).max_kl > 1e-2
