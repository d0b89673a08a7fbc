"""The memory of this process, and of the cards, while something happens."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil

from runtime.hardware.ggml import read_devices
from runtime.hardware.room import usable_cards

SECONDS_BETWEEN_SAMPLES = 0.05


class PeakMemory:
    """The largest resident set of this process while it is entered, and the most that was taken of cards, in bytes.

    What other programs take of the cards meanwhile is counted with it.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before = self.peak = int(self._process.memory_info().rss)
        self._has_cards = bool(usable_cards(read_devices()))
        self._card_free = _free_on_cards() if self._has_cards else 0
        self.card_peak = 0
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
        if self._has_cards:
            self.card_peak = max(self.card_peak, self._card_free - _free_on_cards())


def _free_on_cards() -> int:
    return sum(card.memory_free for card in usable_cards(read_devices()))
