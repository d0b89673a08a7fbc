"""What the next token of an answer may not be, by the tokens before it: rules that a checkpoint or a request sets.

Names and order are those of transformers (`LogitsProcessor`s in generation/logits_process.py), so that answers are the
same; only that the forced first token is given to the decoder instead (`Generate.begin`), which saves a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from runtime.backends.base import Logits
from runtime.errors import InvalidRequest


class Rules(msgspec.Struct, frozen=True):
    """What an answer may be, token by token.

    min_tokens: it does not end before. no_repeat_ngram_size: so many tokens never come twice in the same order; 0 is
    off. bad_words: runs of tokens that never come. suppress: tokens that never come; begin_suppress: nor as the first.
    forced_eos: what the last token is where the answer is as long as it may be.
    """

    min_tokens: int = 0
    no_repeat_ngram_size: int = 0
    bad_words: tuple[tuple[int, ...], ...] = ()
    suppress: tuple[int, ...] = ()
    begin_suppress: tuple[int, ...] = ()
    forced_eos: tuple[int, ...] = ()

    def check(self, vocabulary_size: int) -> None:
        """Refuse what cannot be honoured.

        Raises:
            InvalidRequest: a number is negative, or a token does not exist.
        """
        for name in ("min_tokens", "no_repeat_ngram_size"):
            value = getattr(self, name)
            if value < 0:
                raise InvalidRequest(f"{name} must be at least 0, not {value}.", param=name)
        named = (
            *self.suppress,
            *self.begin_suppress,
            *self.forced_eos,
            *(one for run in self.bad_words for one in run),
        )
        for token in named:
            if not 0 <= token < vocabulary_size:
                raise InvalidRequest(f"There is no token {token}: the vocabulary has {vocabulary_size}.")

    def apply(self, row: Logits, tokens: Sequence[int], num_given: int, num_left: int, ends: Sequence[int]) -> None:
        """Write -inf into `row`, of shape (vocabulary,), where the next token may not be.

        The `tokens` so far begin with `num_given` that were given, and `num_left` may follow. `ends` end an answer.
        """
        if self.forced_eos and num_left == 1:
            row[:] = -np.inf
            row[list(self.forced_eos)] = 0
            return
        num_written = len(tokens) - num_given
        banned = [*self.suppress, *_repeating(tokens, self.no_repeat_ngram_size)]
        for run in self.bad_words:
            begins = len(run) == 1 or (len(run) <= len(tokens) and tuple(tokens[1 - len(run) :]) == run[:-1])
            banned += run[-1:] if begins else ()
        if num_written < self.min_tokens:
            banned += ends
        if num_written == 0:
            banned += self.begin_suppress
        if banned:
            row[banned] = -np.inf


def _repeating(tokens: Sequence[int], size: int) -> set[int]:
    """The tokens that would make the last of `tokens` a run of `size` that was there before."""
    if size == 0 or len(tokens) + 1 < size:
        return set()
    last = tuple(tokens[len(tokens) - size + 1 :])
    starts = range(len(tokens) - size + 1)
    return {tokens[start + size - 1] for start in starts if tuple(tokens[start : start + size - 1]) == last}
