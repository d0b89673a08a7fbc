"""Whether answers follow instructions that a program can check, scored as Multi-IF does (arXiv 2410.15553)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.metrics.instructions import follows

RESAMPLES = 10_000
_AT_A_TIME = 250  # resamples: their table of draws stays small for thousands of answers
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Instruction:
    """A kind, such as `punctuation:no_comma`, and what it takes, such as a number of words."""

    kind: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Followed:
    """Of one answer: which of its instructions it follows, in order."""

    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


@dataclass(frozen=True)
class TurnScores:
    """Of the answers in one turn, from 0 to 1: by prompt all instructions count as one, else each counts.

    `overall` is the mean of the four; `low` and `high` are the ends of its confidence interval.
    """

    count: int
    strict_prompt: float
    strict_instruction: float
    loose_prompt: float
    loose_instruction: float
    overall: float
    low: float
    high: float


def judge(answer: str, instructions: Sequence[Instruction]) -> Followed:
    """Which instructions an answer follows: strictly, and where any of its variants does.

    Raises:
        InvalidRequest: a kind is not known, or an instruction lacks what it takes.
    """
    variants = _variants(answer)
    return Followed(
        strict=tuple(bool(answer) and follows(each.kind, each.arguments, answer) for each in instructions),
        loose=tuple(
            any(follows(each.kind, each.arguments, text) for text in variants if text.strip()) for each in instructions
        ),
    )


def _variants(answer: str) -> list[str]:
    """The answer, without its first line, its last, and both; each as it is and without asterisks."""
    lines = answer.split("\n")
    cut = [answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*cut, *(text.replace("*", "") for text in cut)]


def summarise(answers: Sequence[Followed], seed: int = 0) -> TurnScores:
    """The scores of the answers to one turn, with a percentile bootstrap over the answers.

    Raises:
        ValueError: there is no answer, or one that had no instruction.
    """
    if not answers or not all(each.strict for each in answers):
        raise ValueError("there is no answer, or one without an instruction")
    # One row an answer: prompts and instructions followed, strictly and loosely, and how many instructions.
    counts = np.array(
        [(all(each.strict), sum(each.strict), all(each.loose), sum(each.loose), len(each.strict)) for each in answers],
        dtype=np.float64,
    )
    strict_prompt, strict_instruction, loose_prompt, loose_instruction = (
        float(value) for value in _shares(counts.sum(axis=0), len(answers))
    )
    low, high = _interval(counts, seed)
    return TurnScores(
        count=len(answers),
        strict_prompt=strict_prompt,
        strict_instruction=strict_instruction,
        loose_prompt=loose_prompt,
        loose_instruction=loose_instruction,
        overall=(strict_prompt + strict_instruction + loose_prompt + loose_instruction) / 4,
        low=low,
        high=high,
    )


def _shares(sums: np.ndarray[Any, np.dtype[np.float64]], count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The four shares of sums over answers, shape (..., 5) to (..., 4)."""
    instructions = sums[..., 4]
    columns = (sums[..., 0] / count, sums[..., 1] / instructions, sums[..., 2] / count, sums[..., 3] / instructions)
    return np.stack(columns, axis=-1)


def _interval(counts: np.ndarray[Any, np.dtype[np.float64]], seed: int) -> tuple[float, float]:
    random = np.random.default_rng(seed)
    share = np.full(len(counts), 1 / len(counts))
    overall = []
    for _ in range(0, RESAMPLES, _AT_A_TIME):
        # How often each answer is drawn in each resample, so that the sums are one product.
        drawn = random.multinomial(len(counts), share, size=_AT_A_TIME)
        overall.append(_shares(drawn @ counts, len(counts)).mean(axis=-1))
    low, high = np.quantile(np.concatenate(overall), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
