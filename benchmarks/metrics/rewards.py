"""Rewards of pairs of answers, of which people chose one (M-RewardBench, arXiv 2410.15522)."""

from __future__ import annotations

from collections.abc import Sequence


def is_right(chosen: float, rejected: float) -> bool:
    """Whether the chosen answer has the higher reward; the same one is no preference."""
    return chosen > rejected


def kappa(ours: Sequence[bool], others: Sequence[bool]) -> float | None:
    """Cohen's kappa of two judgements on the same things, from -1 to 1; 0 is what chance would give.

    None where chance alone would always agree, as where all judgements are the same.

    Raises:
        ValueError: they are not of the same number of things.
    """
    if not ours:
        return None
    agreed = sum(one == other for one, other in zip(ours, others, strict=True)) / len(ours)
    yes, other_yes = sum(ours) / len(ours), sum(others) / len(others)
    by_chance = yes * other_yes + (1 - yes) * (1 - other_yes)
    return None if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)
