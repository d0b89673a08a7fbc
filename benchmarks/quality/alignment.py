"""How near a model keeps the same sentence in two languages, layer by layer: MEXA and Language Ranker.

MEXA (Kargaran et al. 2024, https://arxiv.org/abs/2410.05873): of parallel sentences, the share whose translation is
nearer to the English one than any other sentence is. Language Ranker (Li et al. 2024, https://arxiv.org/abs/2404.11553):
the mean cosine of parallel sentences. In a language model the cosines of any two sentences are high, so beside it
stands the mean of pairs that are not parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from runtime.errors import InvalidRequest

Floats: TypeAlias = npt.NDArray[np.float64]
States: TypeAlias = npt.NDArray[np.floating[Any]]


def weighted_mean(states: States) -> Floats:
    """Of hidden states (layers, tokens, width) the mean over tokens, each as heavy as its place from 1 on.

    Returns:
        Shape (layers, width): sum of i * h_i by sum of i, with the tokens that stand around a text.
    """
    weights = np.arange(1, states.shape[1] + 1, dtype=np.float64)
    mean: Floats = np.einsum("ltw,t->lw", states.astype(np.float64), weights / weights.sum())
    return mean


def last_token(states: States) -> Floats:
    """Of hidden states (layers, tokens, width) those of the last token: shape (layers, width)."""
    return states[:, -1].astype(np.float64)


def cosines(english: Floats, other: Floats) -> Floats:
    """Cosines of each sentence with each of the other language.

    Args:
        english, other: a vector for each layer and sentence: shape (layers, sentences, width).

    Returns:
        Shape (layers, sentences, sentences); `[layer, i, j]` is of the English sentence i and the other's j.
    """
    one, two = (rows / np.linalg.norm(rows, axis=2, keepdims=True) for rows in (english, other))
    found: Floats = np.einsum("liw,ljw->lij", one, two)
    return found


def mexa(similarity: Floats) -> Floats:
    """The share of sentences that are nearer to their translation than to any other, by layer.

    Sentence i counts where `similarity[i, i]` is greater than all else in its row and in its column; a tie does not.

    Args:
        similarity: shape (layers, n, n), or (n, n) for a single layer; n from 2.
    """
    own = np.diagonal(similarity, axis1=-2, axis2=-1)
    others = np.where(np.eye(similarity.shape[-1], dtype=bool), -np.inf, similarity)
    share: Floats = ((own > others.max(axis=-1)) & (own > others.max(axis=-2))).mean(axis=-1)
    return share


def parallel_cosine(similarity: Floats) -> tuple[Floats, Floats]:
    """The mean cosine of parallel sentences by layer, and that of all pairs that are not parallel."""
    own: Floats = np.diagonal(similarity, axis1=-2, axis2=-1)
    count = own.shape[-1]
    rest: Floats = (similarity.sum(axis=(-2, -1)) - own.sum(axis=-1)) / (count * (count - 1))
    return own.mean(axis=-1), rest


def chosen_layers(asked: Sequence[int], num_states: int, *, first: int) -> list[int]:
    """The layers a score is the mean of: those asked for, or all from `first` on; 0 is what goes into the first block.

    Raises:
        InvalidRequest: the model has no such layer.
    """
    for layer in asked:
        if not 0 <= layer < num_states:
            raise InvalidRequest(
                f"There is no layer {layer}.",
                remedy=f"This model has layers 0 (its embeddings) to {num_states - 1}.",
                param="--layers",
            )
    return list(asked) or list(range(first, num_states)) or [0]
