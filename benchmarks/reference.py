"""Time in a unit that holds on a noisy machine: how often a reference operation could have been done meanwhile.

pytest-benchmark takes its times from `now` (`--benchmark-timer=benchmarks.reference.now`, which `scripts/bench-paths`
gives). Before each measurement the reference operation is timed, and seconds are scaled as if it took exactly a
millisecond. A figure is then a ratio to it, measured in the same run: it hardly changes from machine to machine, nor
when another program takes a share of the processor for a while.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

NOMINAL_SECONDS = 1e-3
_REPETITIONS = 41
_STEPS = 6_000
_ENTRIES = 1 << 17
_numbers = np.random.default_rng(0).standard_normal(_ENTRIES).astype(np.float32)


def reference() -> float:
    """What the hot paths consist of too: steps of the interpreter on small objects, and numpy on a row of logits."""
    counts: dict[int, int] = {}
    for step in range(_STEPS):
        counts[step & 1023] = counts.get(step & 1023, 0) + step
    return float(np.exp(_numbers - _numbers.max()).sum()) + len(counts)


_scale = 1.0


def calibrate() -> None:
    """Time the reference operation; the median of 41 times counts."""
    global _scale
    times = []
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        reference()
        times.append(time.perf_counter() - started)
    _scale = NOMINAL_SECONDS / statistics.median(times)


def now() -> float:
    """The time, in seconds of a machine on which `reference` takes `NOMINAL_SECONDS`, from an arbitrary beginning."""
    return time.perf_counter() * _scale
