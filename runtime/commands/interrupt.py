"""Ctrl-C as a wish, not an exception: what is under way ends in order, with what it has."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

INTERRUPTED = 130


class Interrupt:
    """While entered, the first Ctrl-C sets `is_set` and calls `on_interrupt`; the second one is Python's own.

    An exception would be lost where llama.cpp calls back into Python, and would tear down an answer half-way.
    """

    def __init__(self) -> None:
        self.is_set = False
        self.on_interrupt: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_set = True
        signal.signal(signal.SIGINT, self._previous)
        self.on_interrupt()
