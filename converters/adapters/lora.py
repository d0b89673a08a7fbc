"""The tensors of a LoRA as llama.cpp reads them: `NAME.lora_a` and `NAME.lora_b`, laid out as the base's GGUF is.

llama.cpp multiplies each product by alpha / rank with one alpha for the whole file (llama-adapter.h), so where the
adapter's scales differ, the second matrix carries what is left over. What the form cannot say exactly is refused.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from converters.adapters.fit import fit
from converters.adapters.peft import Adapter, Lora
from converters.architectures.base import Architecture, Output
from converters.tensors import Tensor, changed, transposed
from runtime.errors import ConversionRefused
from runtime.models.encoding import ENCODERS

_REMEDY = "Merge it with the base: demotic convert BASE --adapter ADAPTER."
# Tables that llama.cpp looks rows up in without an adapter.
_NEVER_CHANGED = ("position_embd", "attn_rel_b")


def lora_outputs(adapter: Adapter, architecture: Architecture, notes: list[str]) -> tuple[list[Output], float]:
    """The tensors of the file, and its alpha.

    Raises:
        ConversionRefused: the adapter is not for this base, or does what a LoRA in a GGUF cannot.
    """
    if architecture.name in ENCODERS:
        raise ConversionRefused(
            f"{architecture.checkpoint.folder} gives vectors or scores; only models that give text take adapters.",
            remedy=_REMEDY,
        )
    _check_exact(adapter)
    shapes = architecture.shapes()
    if architecture.has_head:
        shapes = {**shapes, architecture.head: (architecture.vocabulary_size, architecture.width)}
    loras = fit(adapter, architecture, shapes, notes).loras
    strengths = Counter(lora.scale * lora.rank for lora in loras.values())
    alpha = strengths.most_common(1)[0][0] if strengths else 0.0
    if alpha == 0:  # llama.cpp takes it for 1 / rank
        raise ConversionRefused(f"{adapter.folder} changes nothing of the file: its alpha is 0.")
    outputs = []
    for name, lora in sorted(loras.items()):
        target = _target(adapter, architecture, name)
        a, b = _matrices(architecture, name, lora)
        factor = lora.scale * lora.rank / alpha
        if not math.isclose(factor, 1):
            b = _times(b, factor)
        outputs += [Output(f"{target}.lora_a", a, stays_f32=False), Output(f"{target}.lora_b", b, stays_f32=False)]
    return outputs, alpha


def _check_exact(adapter: Adapter) -> None:
    faults = {
        "is a DoRA, whose weights are divided by their length": adapter.settings.is_dora,
        f"holds whole weights of its own ({next(iter(adapter.saved), '')})": bool(adapter.saved),
        "holds rows of tokens": bool(adapter.tokens),
        "adds to biases": any(lora.bias is not None for lora in adapter.loras),
    }
    for fault, is_so in faults.items():
        if is_so:
            raise ConversionRefused(f"{adapter.folder} {fault}: no LoRA in a GGUF can say that.", remedy=_REMEDY)


def _target(adapter: Adapter, architecture: Architecture, name: str) -> str:
    is_head = architecture.has_head and name == architecture.head
    is_shared = architecture.has_head and architecture.is_tied and name in {architecture.head, architecture.embedding}
    target = "output.weight" if is_head else architecture.target(name)
    if is_shared or any(part in target for part in _NEVER_CHANGED):
        why = "embedding and head are one tensor there" if is_shared else "llama.cpp adds nothing to it"
        raise ConversionRefused(f"{adapter.folder} changes {name}, but {why}.", remedy=_REMEDY)
    return target


def _matrices(architecture: Architecture, name: str, lora: Lora) -> tuple[Tensor, Tensor]:
    """Both matrices as llama.cpp multiplies with them; rows that it has in another order are those of the second."""
    if lora.is_embedding:  # it looks up rows of the first
        return transposed(lora.a), lora.b
    return lora.a, lora.b if architecture.is_transposed(name) else architecture.changed(name, lora.b)


def _times(tensor: Tensor, factor: float) -> Tensor:
    return changed(tensor, lambda rows: rows * np.float32(factor))
