"""Whether figures can be trusted: what else ran meanwhile, and whether the processor slowed down."""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from runtime.hardware.contention import read_cpu_use

SPREAD_BOUND = 0.10  # of the median, between the least and the most
OTHERS_BOUND = 0.2  # processors that others kept busy
WAITED_BOUND = 0.05  # of the seconds, that a thread of ours was ready and had no processor
SLOWER_BOUND = 0.10
_LEAST_SECONDS = 1.0  # counters of processor time go in steps of 10 ms
_BLOCK = bytes(1 << 20)
_BLOCKS, _TRIES = 8, 5


@dataclass(frozen=True)
class Reading:
    """Sums at one moment, in seconds of processors: all that were busy, this process, its threads' waiting."""

    at: float
    busy: float
    own: float
    waited: float | None

    @classmethod
    def now(cls) -> Reading:
        """Read them."""
        times, own, use = psutil.cpu_times(), psutil.Process().cpu_times(), read_cpu_use()
        busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))
        return cls(time.perf_counter(), busy, own.user + own.system, use.waited if use else None)


def read_megahertz() -> float | None:
    """What the processors run at, on average; None where the system does not tell."""
    try:
        cores = psutil.cpu_freq(percpu=True)
    except (OSError, NotImplementedError, AttributeError):  # missing on some systems, and fails in some containers
        return None
    values = [core.current for core in cores or () if core.current]
    return statistics.fmean(values) if values else None


def reference_seconds() -> float:
    """The best of some tries at a fixed piece of work on one thread: SHA-256 of 8 MiB."""
    tries = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        digest = hashlib.sha256()
        for _ in range(_BLOCKS):
            digest.update(_BLOCK)
        tries.append(time.perf_counter() - started)
    return min(tries)


@dataclass
class Noise:
    """What was noted of the machine while it measured.

    seconds, others, waited: of the measured intervals together. megahertz, reference: in the order they were read.
    """

    seconds: float = 0.0
    others: float = 0.0
    waited: float = 0.0
    megahertz: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)

    def add(self, before: Reading, after: Reading) -> None:
        """Note an interval in which something was measured."""
        self.seconds += after.at - before.at
        self.others += max(0.0, (after.busy - before.busy) - (after.own - before.own))
        if before.waited is not None and after.waited is not None:
            # A thread that ended takes its sum with it.
            self.waited += max(0.0, after.waited - before.waited)

    def note_speed(self) -> None:
        """Note how fast the processor is at this moment."""
        self.reference.append(reference_seconds())
        if (megahertz := read_megahertz()) is not None:
            self.megahertz.append(megahertz)

    @property
    def slowdown(self) -> tuple[float, str]:
        """How much slower the last third of the readings is than the first, as a share, and what was read.

        A frequency that never changes is what a virtual machine tells: then the reference operation counts.
        """
        if len(set(self.megahertz)) > 1:
            return _fall([1 / value for value in self.megahertz]), "the processor's frequency"
        return _fall(self.reference), "a reference operation"

    def warnings(self) -> list[str]:
        """Sentences on what makes the figures doubtful."""
        found = []
        if self.seconds >= _LEAST_SECONDS:
            others, waited = self.others / self.seconds, self.waited / self.seconds
            if others > OTHERS_BOUND:
                found.append(
                    f"Other programs kept {others:.1f} of {os.cpu_count()} processors busy meanwhile "
                    f"(bound: {OTHERS_BOUND:g})."
                )
            if waited > WAITED_BOUND:
                found.append(
                    f"Threads were ready and had no processor for {waited:.0%} of the time (bound: {WAITED_BOUND:.0%})."
                )
        share, what = self.slowdown
        if share > SLOWER_BOUND:
            found.append(
                f"The machine throttled, or others slowed it down: by {what} it was {share:.0%} slower at the end than "
                f"at the beginning (bound: {SLOWER_BOUND:.0%})."
            )
        return found


def _fall(seconds: Sequence[float]) -> float:
    third = max(1, len(seconds) // 3)
    if len(seconds) <= third:
        return 0.0
    return statistics.median(seconds[-third:]) / statistics.median(seconds[:third]) - 1
