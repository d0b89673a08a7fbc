"""The memory of this process while something happens."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil

SECONDS_BETWEEN_SAMPLES = 0.05


class PeakMemory:
    """The largest resident set of this process while it is entered, in bytes."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before = self.peak = int(self._process.memory_info().rss)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="demotic-bench-memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_SAMPLES):
            self._sample()

    def _sample(self) -> None:
        self.peak = max(self.peak, int(self._process.memory_info().rss))
