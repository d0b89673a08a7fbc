"""OFA: rows of new tokens from those of old ones that stand in words with like vectors.

Source: https://arxiv.org/abs/2311.08849, and the code published with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from converters.adapt.transplant.overlap import copy_overlap
from converters.adapt.transplant.plan import Draft, Plan
from converters.adapt.transplant.vectors import WordVectors
from converters.adapt.transplant.vocabulary import Vocabulary
from converters.progress import StepProgress
from converters.tensors import FloatArray

NEIGHBOURS = 10
TEMPERATURE = 0.1
# How many words are tokenized, and how many tokens are compared, at once.
_WORDS, _TOKENS = 8192, 1024


def plan_by_ofa(old: Vocabulary, new: Vocabulary, words: WordVectors, steps: StepProgress) -> Plan:
    """Tokens of both vocabularies are copied, others are sums of their neighbours, the rest is drawn."""
    draft = Draft(len(new))
    copy_overlap(draft, old, new)
    wanted = [token for token in range(len(new)) if draft.is_open(token)]
    steps.start("tokens in words", 2 * _num_steps(len(words.words), _WORDS) + _num_steps(len(wanted), _TOKENS))
    try:
        of_old = subword_vectors(old, words, steps)
        of_new = subword_vectors(new, words, steps)
        for token, (near, weights) in neighbours(wanted, of_new, of_old, steps):
            draft.mix(token, near.tolist(), weights.tolist())
    finally:
        steps.finish()
    return draft.finished()


def _num_steps(count: int, at_once: int) -> int:
    return -(-count // at_once)


def subword_vectors(vocabulary: Vocabulary, words: WordVectors, steps: StepProgress) -> FloatArray:
    """The mean of the vectors of the words that each token is a piece of, shape (tokens, dimensions); zeros of none.

    A word counts as often as it has a form (`WordVectors.forms`) with the token in it. The unknown token has no words,
    which in the source it has.
    """
    sums = np.zeros((len(vocabulary), words.vectors.shape[1]), np.float32)
    counts = np.zeros(len(vocabulary), np.int64)
    for start in range(0, len(words.words), _WORDS):
        at = range(start, min(start + _WORDS, len(words.words)))
        texts = [(word, form) for word in at for form in words.forms(word)]
        read = vocabulary.library.encode_batch([form for _, form in texts], add_special_tokens=False)
        pairs = [(word, token) for (word, _), each in zip(texts, read, strict=True) for token in set(each.ids)]
        if pairs:
            of_word, tokens = np.array(pairs, np.int64).T
            np.add.at(sums, tokens, words.vectors[of_word])
            np.add.at(counts, tokens, 1)
        steps.advance()
    means: FloatArray = sums / np.maximum(counts, 1).astype(np.float32)[:, None]
    if vocabulary.unknown is not None:
        means[vocabulary.unknown] = 0
    return means


def neighbours(
    wanted: list[int], of_new: FloatArray, of_old: FloatArray, steps: StepProgress
) -> Iterator[tuple[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]]:
    """For each wanted token that has a vector: the old tokens with the largest cosines, and the softmax of these.

    The cosines are divided by `TEMPERATURE` first. Old tokens without a vector have a cosine of 0.
    """
    scaled_old = _unit(of_old)
    count = min(NEIGHBOURS, len(scaled_old))
    for start in range(0, len(wanted), _TOKENS):
        tokens = [token for token in wanted[start : start + _TOKENS] if of_new[token].any()]
        if tokens:
            cosines = _unit(of_new[tokens]) @ scaled_old.T
            best = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
            for token, near, row in zip(tokens, best, cosines, strict=True):
                powers = np.exp((row[near].astype(np.float64) - row[near].max()) / TEMPERATURE)
                yield token, (near, powers / powers.sum())
        steps.advance()


def _unit(vectors: FloatArray) -> FloatArray:
    lengths: FloatArray = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    scaled: FloatArray = vectors / lengths
    return scaled
