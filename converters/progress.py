"""How far work in steps has come and how long it will take yet, on standard error."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from runtime.commands.progress import SECONDS_BETWEEN_LINES


class StepProgress(Protocol):
    """Who is told of each step."""

    def start(self, title: str, num_steps: int) -> None:
        """The work begins."""

    def advance(self) -> None:
        """One more step is done."""

    def finish(self) -> None:
        """The work is over, well or badly."""


def steps_for(*, as_json: bool) -> StepProgress:
    """A bar for a person at a terminal; lines where a program reads along."""
    return StepLines() if as_json or not sys.stderr.isatty() else StepBar()


class NoSteps:
    """A report to nobody."""

    def start(self, title: str, num_steps: int) -> None:
        """Say nothing."""

    def advance(self) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""


class StepBar:
    """A bar with the number of steps and the time that is left."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", visible=False)

    def start(self, title: str, num_steps: int) -> None:
        """Show the bar."""
        self._bar.reset(self._task, total=num_steps, description=title, visible=True)
        self._bar.start()

    def advance(self) -> None:
        """Move it."""
        self._bar.advance(self._task)

    def finish(self) -> None:
        """Leave it as it is and free the terminal."""
        self._bar.stop()


class StepLines:
    """A line at the start, every ten seconds, and at the end."""

    def __init__(self) -> None:
        self._title = ""
        self._num_steps = self._num_done = 0
        self._started_at = self._spoken_at = 0.0

    def start(self, title: str, num_steps: int) -> None:
        """Say what begins."""
        self._title, self._num_steps, self._num_done = title, num_steps, 0
        self._started_at = time.monotonic()
        self._say()

    def advance(self) -> None:
        """Say how far it is, unless that was said just now."""
        self._num_done += 1
        is_last = self._num_done == self._num_steps  # `finish` says that
        if not is_last and time.monotonic() - self._spoken_at >= SECONDS_BETWEEN_LINES:
            self._say()

    def finish(self) -> None:
        """Say where it ended."""
        self._say()

    def _say(self) -> None:
        self._spoken_at = time.monotonic()
        left = ""
        if 0 < self._num_done < self._num_steps:
            seconds = (self._spoken_at - self._started_at) / self._num_done * (self._num_steps - self._num_done)
            left = f", about {seconds:.0f} s left"
        print(f"{self._title}: {self._num_done} of {self._num_steps}{left}", file=sys.stderr)  # noqa: T201
