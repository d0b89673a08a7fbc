"""What logits say: how likely they make tokens, and how far two distributions are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from converters.tensors import FloatArray


def total_bits(logits: FloatArray, tokens: Sequence[int], *, has_encoder: bool) -> float:
    """Negative log-likelihood of tokens, to the base 2; without an encoder the first is given, not guessed."""
    logs = _log_softmax(logits) if has_encoder else _log_softmax(logits[:-1])
    wanted = np.asarray(tokens)[len(tokens) - len(logs) :]
    return float(-logs[np.arange(len(logs)), wanted].sum() / np.log(2))


def kl_divergences(wanted: FloatArray, found: FloatArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """KL(wanted || found) of the distributions that rows of logits give, in nats: shape (rows)."""
    p, q = _log_softmax(wanted), _log_softmax(found)
    divergences: np.ndarray[Any, np.dtype[np.float64]] = (np.exp(p) * (p - q)).sum(axis=1)
    return divergences


def _log_softmax(rows: FloatArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    shifted = rows.astype(np.float64) - rows.max(axis=1, keepdims=True)
    logs: np.ndarray[Any, np.dtype[np.float64]] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs
