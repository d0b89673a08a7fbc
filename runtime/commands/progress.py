"""How far a download has come, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import json
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from runtime.models.files import Progress

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_OBJECTS = 0.2


def progress_for(*, as_json: bool) -> Progress:
    """A bar for a person at a terminal; lines where a program reads along."""
    return LineProgress() if as_json or not sys.stderr.isatty() else BarProgress()


class BarProgress:
    """A bar with size, speed and the time that is left."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", visible=False)

    def start(self, title: str, total_bytes: int | None) -> None:
        """Show the bar."""
        self._bar.reset(self._task, total=total_bytes, description=title, visible=True)
        self._bar.start()

    def advance(self, num_bytes: int) -> None:
        """Move it."""
        self._bar.advance(self._task, num_bytes)

    def finish(self) -> None:
        """Leave it as it is and free the terminal."""
        self._bar.stop()


class LineProgress:
    """A line at the start, every ten seconds, and at the end."""

    def __init__(self) -> None:
        self._title = ""
        self._total_bytes: int | None = None
        self._num_bytes = 0
        self._spoken_at = 0.0

    def start(self, title: str, total_bytes: int | None) -> None:
        """Say what begins."""
        self._title, self._total_bytes, self._num_bytes = title, total_bytes, 0
        self._say()

    def advance(self, num_bytes: int) -> None:
        """Say how far it is, unless that was said just now."""
        self._num_bytes += num_bytes
        if time.monotonic() - self._spoken_at >= SECONDS_BETWEEN_LINES:
            self._say()

    def finish(self) -> None:
        """Say where it ended."""
        self._say()

    def _say(self) -> None:
        self._spoken_at = time.monotonic()
        total = f" of {self._total_bytes / 1e6:.1f}" if self._total_bytes is not None else ""
        print(f"{self._title}: {self._num_bytes / 1e6:.1f}{total} MB", file=sys.stderr)  # noqa: T201


class JsonProgress:
    """A JSON object on a line of its own at the start, five times a second, and at the end, for a program."""

    def __init__(self) -> None:
        self._told: dict[str, object] = {}
        self._num_bytes = 0
        self._spoken_at = 0.0

    def start(self, title: str, total_bytes: int | None) -> None:
        """Say what begins."""
        self._told, self._num_bytes = {"title": title, "total_bytes": total_bytes}, 0
        self._say()

    def advance(self, num_bytes: int) -> None:
        """Say how far it is, unless that was said just now."""
        self._num_bytes += num_bytes
        if time.monotonic() - self._spoken_at >= SECONDS_BETWEEN_OBJECTS:
            self._say()

    def finish(self) -> None:
        """Say where it ended."""
        self._say()

    def _say(self) -> None:
        self._spoken_at = time.monotonic()
        told = json.dumps({"progress": {**self._told, "num_bytes": self._num_bytes}}, ensure_ascii=False)
        print(told, file=sys.stderr, flush=True)  # noqa: T201
