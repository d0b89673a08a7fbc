"""What a text costs a model, and how another model's guesses at it differ.

Bits per byte are the negative log-likelihood of a text's tokens in nats, by ln 2 and the text's bytes in UTF-8: unlike
perplexity they can be compared between vocabularies. Each line is read by itself. Where the tokenizer puts a token
before a text (BOS), every token of the text is guessed. Where it puts none, the first one is given, and neither it nor
its bytes count. What the tokenizer puts after a text is not guessed. A line longer than the model's context is read in
windows, each like a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from converters.likelihood import log_softmax
from converters.tensors import FloatArray
from runtime.text.tokenizer import Tokenizer, frame_of


class Guesser(Protocol):
    """A model whose guesses are measured; a sequence has at most `context_length` tokens."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Its tokenizer."""

    @property
    def context_length(self) -> int:
        """The most tokens of a sequence."""

    def logits(self, tokens: Sequence[int]) -> Iterator[FloatArray]:
        """Logits after each token, some rows at a time; each block only until the next one."""


@dataclass(frozen=True)
class Cost:
    """What lines cost: `bits` for `num_tokens` guessed tokens, which stand for `num_bytes`."""

    bits: float
    num_tokens: int
    num_bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Bits by bytes."""
        return self.bits / self.num_bytes


@dataclass(frozen=True)
class Divergence:
    """How guesses differ from a source's at the same places: means over `num_tokens` guesses.

    kl: KL divergence of the guesses from the source's, in nats; of a trimmed vocabulary over the tokens that were kept,
        made to sum up to one.
    top_1: the share where both find the same token likeliest; the source may choose among all of its tokens.
    kept: what share of its probability the source gives to tokens that were kept; 1 where all were.
    """

    kl: float
    top_1: float
    kept: float
    num_tokens: int


@dataclass(frozen=True)
class Window:
    """Tokens to read at once, of which those from `first` on are guessed; those of the text begin at `start`."""

    tokens: Sequence[int]
    start: int
    first: int


def windows(text: str, tokenizer: Tokenizer, context_length: int) -> list[Window]:
    """A line as the model reads it, without what the tokenizer puts after it."""
    before, after = frame_of(tokenizer)
    tokens = tokenizer.encode(text, parse_special=False)
    body = tokens[len(before) : len(tokens) - len(after)]
    size = context_length - len(before)
    return [_window(before, body[at : at + size]) for at in range(0, len(body), size)]


def _window(before: Sequence[int], body: Sequence[int]) -> Window:
    return Window([*before, *body], len(before), max(1, len(before)))


def cost(lines: Iterable[str], model: Guesser) -> Cost:
    """What the lines cost a model."""
    bits, num_tokens, num_bytes = 0.0, 0, 0
    for line in lines:
        for window in windows(line, model.tokenizer, model.context_length):
            bits += bits_of(window, model)
            num_tokens += len(window.tokens) - window.first
            num_bytes -= _given_bytes(window, model.tokenizer)
        num_bytes += len(line.encode())
    return Cost(bits, num_tokens, num_bytes)


def bits_of(window: Window, model: Guesser) -> float:
    """Negative log-likelihood of the tokens of a window that are guessed, to the base 2."""
    return sum(_bits(rows, wanted) for rows, wanted in _guesses(window, model))


@dataclass(frozen=True)
class Comparison:
    """What lines cost a model, what the same tokens cost the source, and how far the guesses differ."""

    cost: Cost
    source_cost: Cost
    divergence: Divergence


def compare(
    lines: Iterable[str], model: Guesser, source: Guesser, kept: npt.NDArray[np.int64] | None = None
) -> Comparison:
    """Hold a model's guesses against those of a source that reads the same tokens.

    Args:
        kept: the source's token that each of the model's tokens is, where the model's vocabulary was trimmed.
    """
    bits = source_bits = kl = same = mass = 0.0
    num_tokens = num_bytes = 0
    most = min(model.context_length, source.context_length)
    for line in lines:
        for window in windows(line, model.tokenizer, most):
            num_tokens += len(window.tokens) - window.first
            num_bytes -= _given_bytes(window, model.tokenizer)
            read = window.tokens if kept is None else kept[np.asarray(window.tokens)].tolist()
            theirs = _guesses(Window(read, window.start, window.first), source)
            for (rows, wanted), (others, same_wanted) in zip(_guesses(window, model), theirs, strict=True):
                logs, source_logs = log_softmax(rows), log_softmax(others)
                bits -= _sum_of(logs, wanted)
                source_bits -= _sum_of(source_logs, same_wanted)
                best, likeliest = source_logs.argmax(axis=1), logs.argmax(axis=1)
                if kept is not None:
                    likeliest, source_logs = kept[likeliest], source_logs[:, kept]
                    shares = np.exp(source_logs).sum(axis=1)
                    mass += float(shares.sum())
                    source_logs -= np.log(shares)[:, None]
                kl += float((np.exp(source_logs) * (source_logs - logs)).sum())
                same += int((best == likeliest).sum())
        num_bytes += len(line.encode())
    share = mass / num_tokens if kept is not None else 1.0
    return Comparison(
        Cost(bits, num_tokens, num_bytes),
        Cost(source_bits, num_tokens, num_bytes),
        Divergence(kl / num_tokens, same / num_tokens, share, num_tokens),
    )


def _guesses(window: Window, model: Guesser) -> Iterator[tuple[FloatArray, Sequence[int]]]:
    """Rows of logits and the tokens that come next, some at a time; only of tokens that are guessed."""
    at = 0
    for rows in model.logits(window.tokens[:-1]):
        first = max(at, window.first - 1)
        if first < at + len(rows):
            yield rows[first - at :], window.tokens[first + 1 : at + len(rows) + 1]
        at += len(rows)


def _bits(rows: FloatArray, wanted: Sequence[int]) -> float:
    """Bits of the wanted tokens; as `log_softmax` has them, but for the sums of many small numbers in float32."""
    shifted = rows - rows.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(shifted)), np.asarray(wanted)].astype(np.float64)
    sums = np.exp(shifted, out=shifted).sum(axis=1, dtype=np.float64)
    return float((np.log(sums) - own).sum() / np.log(2))


def _sum_of(logs: npt.NDArray[np.float64], wanted: Sequence[int]) -> float:
    """The logarithms of the wanted tokens, to the base 2, summed up."""
    return float(logs[np.arange(len(logs)), np.asarray(wanted)].sum() / np.log(2))


def _given_bytes(window: Window, tokenizer: Tokenizer) -> int:
    """Bytes of the text that are given and not guessed."""
    return sum(len(tokenizer.token_bytes(token)) for token in window.tokens[window.start : window.first])
