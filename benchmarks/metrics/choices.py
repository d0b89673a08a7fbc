"""Multiple choice by log-likelihood: which option a model finds likeliest, as it is and for its length.

Long options are less likely than short ones, whatever they say: so the log-likelihood is also divided by the length, in
characters (lm-evaluation-harness's `acc_norm`) and in UTF-8 bytes (its `acc_bytes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Whether the right option is the likeliest: as it is, per character, and per byte."""

    raw: bool
    per_character: bool
    per_byte: bool


def judge(log_likelihoods: Sequence[float], options: Sequence[str], answer: int) -> Verdict:
    """The verdict on one question; `log_likelihoods` are natural logarithms, one an option, `answer` an index.

    Of options that are equally likely the first one counts.

    Raises:
        ValueError: not one log-likelihood an option, or an option without text.
    """
    per_character = [value / len(option) for value, option in _pairs(log_likelihoods, options)]
    per_byte = [value / len(option.encode()) for value, option in _pairs(log_likelihoods, options)]
    return Verdict(
        raw=_best(log_likelihoods) == answer,
        per_character=_best(per_character) == answer,
        per_byte=_best(per_byte) == answer,
    )


def _pairs(values: Sequence[float], options: Sequence[str]) -> list[tuple[float, str]]:
    if not all(options):
        raise ValueError("an option has no text")
    return list(zip(values, options, strict=True))


def _best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
