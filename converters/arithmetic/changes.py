"""What LoRAs in GGUF files add to each matrix, as llama.cpp would at run time (llama-adapter.h)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.gguf.encode import decoded
from converters.tensors import FloatArray
from runtime.models.gguf_copy import rows_in
from runtime.models.gguf_format import TYPE_NUMBERS, GgufFile, TensorInfo, parse

_A, _B = ".lora_a", ".lora_b"
_EMBEDDING = "token_embd.weight"


@dataclass(frozen=True)
class Change:
    """What is added to one tensor: for each of its matrices (one, or one an expert) the product of two others.

    left: shape (matrices, rows, rank), scales included. right: shape (matrices, rank, columns).
    """

    left: FloatArray
    right: FloatArray

    def rows(self, matrix: int, start: int, stop: int) -> FloatArray:
        """What is added to some rows of one matrix."""
        product: FloatArray = self.left[matrix, start:stop] @ self.right[matrix]
        return product

    def __add__(self, other: Change) -> Change:
        """Both changes: their ranks side by side."""
        return Change(
            np.concatenate([self.left, other.left], axis=2), np.concatenate([self.right, other.right], axis=1)
        )


def read_changes(adapters: Sequence[tuple[Path, float]]) -> dict[str, Change]:
    """The changes of LoRAs that were checked, each times its scale, by the tensors that they are for."""
    changes: dict[str, Change] = {}
    for path, scale in adapters:
        file = parse(path)
        for name in file.tensors:
            if name.endswith(_A):
                target = name.removesuffix(_A)
                change = _read(path, file, target, scale)
                changes[target] = changes[target] + change if target in changes else change
    return changes


def _read(path: Path, file: GgufFile, target: str, scale: float) -> Change:
    a, b = (_values(path, file.tensors[target + end]) for end in (_A, _B))
    alpha = float(file.metadata.get("adapter.lora.alpha", 0.0))  # type: ignore[arg-type]  # it was checked
    rank = file.tensors[target + _B].shape[0]
    strength = np.float32(scale * alpha / rank if alpha else scale)
    if target == _EMBEDDING:  # rows of the first are looked up, so both lie the other way
        return Change(strength * a, np.ascontiguousarray(b.transpose(0, 2, 1)))
    return Change(strength * b, a)


def _values(path: Path, tensor: TensorInfo) -> FloatArray:
    """A matrix, or one an expert: shape (matrices, rows, columns)."""
    columns, rows = tensor.shape[:2]
    return decoded(rows_in(path, tensor), TYPE_NUMBERS[tensor.type]).reshape(-1, rows, columns)
