"""How many threads compute the next step: fewer while other programs want the processors too.

ggml's threads meet at hundreds of barriers in every step, and wait there by spinning. Where one of them has lost its
processor to another program, all others spin until it has it back: two processes with two threads each on two cores
were measured at 0.9 tokens/s each, where one alone makes 80. A thread less costs its share of the speed; a thread
too many costs nearly all of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from runtime.hardware.contention import CpuUse, read_cpu_use

_WINDOW_SECONDS = 0.1
# Older figures say nothing about now: the engine had nothing to do in between.
_STALE_SECONDS = 1.0
# Processors' worth of waiting above which a thread is given up. What this process's own server threads make the
# computing ones wait stays well below.
_MOST_WAITING = 0.3
# Processors' worth of idling above which a thread is added.
_LEAST_IDLE = 0.8
# How long after a fall a rise is tried; each one that proves wrong doubles it, for in a container the idling may be of
# processors that it may not use.
_FIRST_PATIENCE, _MOST_PATIENCE = 1.0, 60.0


class ThreadGovernor:
    """Follows what the system says about waiting and idling, between 1 thread and the plan's number."""

    def __init__(
        self,
        most: int,
        *,
        read: Callable[[], CpuUse | None] = read_cpu_use,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._threads = most
        self._read = read
        self._clock = clock
        self._last: tuple[float, CpuUse] | None = None
        self._fell_at = self._rose_at = -math.inf
        self._patience = _FIRST_PATIENCE

    def threads(self) -> int:
        """Number of threads for the next step. Cheap enough to be asked before each."""
        if self._most == 1:
            return 1
        now = self._clock()
        if self._last is not None and now - self._last[0] < _WINDOW_SECONDS:
            return self._threads
        use = self._read()
        if use is None:
            return self._threads
        if self._last is not None and now - self._last[0] < _STALE_SECONDS:
            self._follow(now, now - self._last[0], self._last[1], use)
        self._last = now, use
        return self._threads

    def _follow(self, now: float, seconds: float, before: CpuUse, use: CpuUse) -> None:
        waiting = (use.waited - before.waited) / seconds
        idling = (use.idle - before.idle) / seconds
        if waiting > _MOST_WAITING:
            was_wrong_to_rise = now - self._rose_at < _FIRST_PATIENCE
            self._patience = min(self._patience * 2, _MOST_PATIENCE) if was_wrong_to_rise else _FIRST_PATIENCE
            self._threads = max(1, self._threads - max(1, round(waiting)))
            self._fell_at = now
        elif idling > _LEAST_IDLE and self._threads < self._most and now - self._fell_at > self._patience:
            self._threads = min(self._most, self._threads + max(1, round(idling)))
            self._rose_at = now
