"""An encoder small enough to reason about: it implements the engine's real Protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtime.backends.base import Passage, Vectors
from runtime.errors import InferenceFailed


class SumEncoder:
    """The row of a sequence is its length and the sum of its tokens; every step's sequences are kept in `steps`."""

    width, context_length, batch_size, max_sequences = 2, 32, 16, 4

    def __init__(self) -> None:
        self.steps: list[list[tuple[int, ...]]] = []
        self.fail_at: int | None = None
        self.is_closed = False

    def encode(self, passages: Sequence[Passage]) -> list[Vectors]:
        sequences = [passage.tokens for passage in passages]
        assert len(sequences) == 1 or sum(map(len, sequences)) <= self.batch_size
        assert 0 < len(sequences) <= self.max_sequences
        self.steps.append([tuple(tokens) for tokens in sequences])
        if self.fail_at == len(self.steps) - 1:
            raise InferenceFailed("The backend failed.")
        return [np.array((len(tokens), sum(tokens)), np.float32) for tokens in sequences]

    def close(self) -> None:
        self.is_closed = True
