"""A tensor of a GGUF with a change added: decoded, added, quantized anew in its own type, and what that loses."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.ahead import WORKERS, ahead
from converters.arithmetic.changes import Change
from converters.gguf.encode import decoded, encoded
from converters.tensors import BLOCK_BYTES, FloatArray
from runtime.errors import ConversionRefused
from runtime.models.gguf_copy import rows_in
from runtime.models.gguf_format import TYPE_NUMBERS, TensorInfo

# What ggml does not quantize: intermediate types, and whole numbers.
_NEVER = frozenset({"Q8_1", "Q8_K", "F64", "I8", "I16", "I32", "I64"})
_SAMPLE_ROWS = 64
# Of the size of a row's values.
_NOISE = 0.1


@dataclass(frozen=True)
class Loss:
    """What became of one tensor; each figure the root of a mean of squares, by that of the values.

    change: of what was added. error: of what was stored, against the sum in float32.
    own: the error that the type has on values like these, so about what quantizing had cost the tensor before.
    """

    name: str
    type: str
    change: float
    error: float
    own: float


def require_types(tensors: list[TensorInfo]) -> None:
    """Refuse tensors that are in a type that ggml does not quantize.

    Raises:
        ConversionRefused: with their names.
    """
    if wrong := [tensor for tensor in tensors if tensor.type in _NEVER]:
        raise ConversionRefused(f"{wrong[0].name} is in {wrong[0].type}, which nothing is quantized to.")


class Changed:
    """The bytes of one tensor with its change; `loss` is known when all have been taken."""

    def __init__(self, path: Path, tensor: TensorInfo, change: Change) -> None:
        self._tensor, self._change = tensor, change
        self._type = TYPE_NUMBERS[tensor.type]
        self._stored = rows_in(path, tensor).reshape(len(change.left), change.left.shape[1], -1)
        self._squares = np.zeros(3)  # of the change, of the error, of the sum

    def blocks(self) -> Iterator[bytes]:
        """The new bytes, a piece of rows at a time."""
        matrices, rows, _ = self._stored.shape
        step = max(1, BLOCK_BYTES // (4 * self._tensor.shape[0]))
        with ThreadPoolExecutor(WORKERS) as pool:
            for matrix in range(matrices):
                spans = ((start, min(start + step, rows)) for start in range(0, rows, step))
                for data, squares in ahead(pool, partial(self._piece, matrix), spans):
                    self._squares += squares
                    yield data

    def _piece(self, matrix: int, start: int, stop: int) -> tuple[bytes, npt.NDArray[np.float64]]:
        change = self._change.rows(matrix, start, stop)
        wanted = decoded(self._stored[matrix, start:stop], self._type) + change
        data, found = self._rounded(wanted)
        squares = [float(np.square(each, dtype=np.float64).sum()) for each in (change, found - wanted, wanted)]
        return data, np.array(squares)

    def _rounded(self, values: FloatArray) -> tuple[bytes, FloatArray]:
        """The values in the tensor's type, and what they are there."""
        data = encoded(values, self._type, self._tensor.name)
        return data.tobytes(), decoded(data.view(np.uint8).reshape(len(values), -1), self._type)

    @property
    def loss(self) -> Loss:
        """What was lost."""
        change, error, total = (sqrt(each) for each in self._squares)
        length = total or 1.0
        return Loss(self._tensor.name, self._tensor.type, change / length, error / length, self._own_error())

    def _own_error(self) -> float:
        """On some rows, off the places where the type has them: as they are, it holds them without any error.

        Values change their rows, by which they get into blocks of other scales, and get a little noise.
        """
        matrices, rows, _ = self._stored.shape
        chosen = np.linspace(0, rows - 1, min(rows, _SAMPLE_ROWS)).astype(int)
        random = np.random.default_rng(0)
        values = random.permuted(decoded(self._stored[matrices // 2, chosen], self._type), axis=0)
        size = np.sqrt(np.square(values).mean(axis=1, keepdims=True))
        values += np.float32(_NOISE) * size * random.standard_normal(values.shape, np.float32)
        _, found = self._rounded(values)
        length = float(np.linalg.norm(values))
        return float(np.linalg.norm(found - values)) / length if length else 0.0
