"""How likely the model itself found a token and its rivals: before bias, penalties, filters and temperature."""

from __future__ import annotations

import numpy as np

from runtime.backends.base import Logits
from runtime.engine.messages import Alternative, TokenLogprob
from runtime.text.tokenizer import Tokenizer


def token_logprob(
    row: Logits, token: int, num_top: int, tokenizer: Tokenizer, *, also: tuple[int, ...] = ()
) -> TokenLogprob:
    """Natural logarithm of the probability of `token`, and of the `num_top` likeliest tokens, the likeliest first.

    The tokens of `also` follow those, in their order.
    `row` is float32 of shape (vocabulary_size,), as the model computed it. Of equal ones the lowest id comes first.
    """
    peak = float(row.max())
    total = peak + float(np.log(np.exp(row.astype(np.float64) - peak).sum()))
    top = np.argpartition(-row, num_top - 1)[:num_top] if 0 < num_top < len(row) else np.arange(min(num_top, len(row)))
    top = top[np.lexsort((top, -row[top]))]

    def logprob_of(one: int) -> float:
        return float(row[one]) - total

    rivals = tuple(
        Alternative(rival, token_data(rival, tokenizer), logprob_of(rival)) for rival in (*top.tolist(), *also)
    )
    return TokenLogprob(token, token_data(token, tokenizer), logprob_of(token), rivals)


def token_data(token: int, tokenizer: Tokenizer) -> bytes:
    """The bytes of a token, which may be part of a character; of a control token, its name."""
    return tokenizer.token_bytes(token) or tokenizer.token_text(token).encode()
