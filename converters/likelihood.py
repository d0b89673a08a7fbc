"""What rows of logits say of tokens, and of other rows: the likeliest, bits, and divergences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.tensors import FloatArray


def likeliest(row: FloatArray, among: npt.NDArray[np.int64] | None = None) -> int:
    """The token with the largest logit: of all, or of `among`, ascending ids."""
    return int(row.argmax() if among is None else among[row[among].argmax()])


def log_softmax(rows: FloatArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The logarithms of the distributions that rows of logits give: shape (rows, vocabulary)."""
    shifted = rows.astype(np.float64) - rows.max(axis=1, keepdims=True)
    logs: np.ndarray[Any, np.dtype[np.float64]] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def total_bits(logits: FloatArray, tokens: Sequence[int], *, has_encoder: bool) -> float:
    """Negative log-likelihood of tokens, to the base 2; without an encoder the first is given, not guessed."""
    logs = log_softmax(logits) if has_encoder else log_softmax(logits[:-1])
    wanted = np.asarray(tokens)[len(tokens) - len(logs) :]
    return float(-logs[np.arange(len(logs)), wanted].sum() / np.log(2))


def kl_divergences(wanted: FloatArray, found: FloatArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """KL(wanted || found) of the distributions that rows of logits give, in nats: shape (rows)."""
    p, q = log_softmax(wanted), log_softmax(found)
    divergences: np.ndarray[Any, np.dtype[np.float64]] = (np.exp(p) * (p - q)).sum(axis=1)
    return divergences
