"""Rankings of documents against judgements of their relevance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def ndcg(ranking: Sequence[str], relevance: Mapping[str, float], k: int) -> float:
    """Normalised discounted cumulative gain of the first `k` documents, from 0 to 1.

    The gain of a document is its relevance, not 2 to the power of it, as in trec_eval and BEIR (arXiv 2104.08663); the
    one at rank i is divided by log2(i + 1). Documents without a judgement have none.

    Raises:
        ValueError: nothing is relevant, so that there is no best ranking.
    """
    best = _dcg(sorted(relevance.values(), reverse=True)[:k])
    if best <= 0:
        raise ValueError("nothing is relevant")
    return _dcg([max(0.0, relevance.get(document, 0.0)) for document in ranking[:k]]) / best


def recall(ranking: Sequence[str], relevance: Mapping[str, float], k: int) -> float:
    """The share of the relevant documents that are among the first `k`.

    Raises:
        ValueError: nothing is relevant.
    """
    relevant = {document for document, value in relevance.items() if value > 0}
    if not relevant:
        raise ValueError("nothing is relevant")
    return len(relevant.intersection(ranking[:k])) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], relevance: Mapping[str, float], k: int) -> float:
    """One over the rank of the first relevant document, 0 where it is not among the first `k`."""
    ranks = (rank for rank, document in enumerate(ranking[:k], 1) if relevance.get(document, 0.0) > 0)
    return 1 / next(ranks, math.inf)


def _dcg(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
