"""A child process that is spoken to in frames: its pipes, its pulse on our side, and how it ended."""

from __future__ import annotations

import logging
import os
import queue
import re
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO

import msgspec

from runtime.engine.frames import FrameParser, FrameTooLarge, write_frame
from runtime.engine.messages import NATIVE_PREFIX

TICK_SECONDS = 1.0

_READ_BYTES = 64 * 1024
_MAX_LINES, _MAX_LINE_CHARS = 50, 500
_TELLING = re.compile(r"error|fail|assert|abort|memory|exception|invalid|cannot|could not", re.IGNORECASE)
_log = logging.getLogger("demotic.worker")


class ChildProcess:
    """Two threads over a child: one writes frames, the other reads frames and error lines until the child ends.

    All three functions are called from the reading thread. `on_frame` gets the content of each frame, and may refuse
    it with `msgspec.MsgspecError`. `on_tick` is called about every `TICK_SECONDS` of this process's own running (not of
    the time in which it was stopped) and may name a reason to end the child. `on_end` is called once, with how the
    child ended and its last error lines, when nothing of it is left.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        on_frame: Callable[[bytes], None],
        on_tick: Callable[[], str | None],
        on_end: Callable[[str, Sequence[str]], None],
        end_seconds: float,
    ) -> None:
        """Start `command`. After it has closed its output it gets `end_seconds` to end by itself.

        Raises:
            OSError: it cannot be started.
        """
        self._on_frame = on_frame
        self._on_tick = on_tick
        self._on_end = on_end
        self._end_seconds = end_seconds
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(list(command), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)  # noqa: S603  # our own program
        self.pid = self._process.pid
        self._parser = FrameParser()
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._partial = b""
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name=f"demotic-to-{self.pid}", daemon=True)
        self._reader = threading.Thread(target=self._follow, name=f"demotic-from-{self.pid}", daemon=True)
        self._writer.start()
        self._reader.start()

    def send(self, content: bytes) -> None:
        """Write a frame as soon as the child takes it; never waits."""
        self._outbox.put(content)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether nothing is left of the child, within so many seconds."""
        self._reader.join(seconds)
        return not self._reader.is_alive()

    def kill(self) -> None:
        """End it at once. One that has ended is left alone."""
        self._process.kill()

    def _write(self) -> None:
        assert self._process.stdin is not None  # noqa: S101  # a pipe
        with self._process.stdin as pipe:
            while (content := self._outbox.get()) is not None:
                try:
                    write_frame(pipe.fileno(), content)
                except OSError:
                    return  # it has ended; the other thread tells how

    def _follow(self) -> None:
        process = self._process
        assert process.stdout is not None and process.stderr is not None  # noqa: S101  # pipes
        with process.stdout as frames, process.stderr as lines:
            try:
                cause = self._read(frames, lines)
            except (FrameTooLarge, msgspec.MsgspecError) as fault:
                cause = f"sent what is no message ({fault})"
            except Exception:  # noqa: BLE001  # whatever it is, the requests in flight must be answered
                _log.exception("a worker could not be followed")
                cause = "could not be followed"
            status = self._end(is_wanted=cause is not None)
            self._take_lines(lines)
            self._outbox.put(None)
            self._writer.join()
        how = f"{cause}, and was ended" if cause else _describe(status)
        why = self._last_line()
        self._on_end(f"{how}; its last words were: {why}" if why else how, tuple(self._lines))

    def _read(self, frames: IO[bytes], lines: IO[bytes]) -> str | None:
        """Read until the child closes its output (None) or there is a reason to end it."""
        os.set_blocking(lines.fileno(), False)
        next_tick = time.monotonic() + TICK_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(frames, selectors.EVENT_READ)
            selector.register(lines, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select(max(0.0, next_tick - time.monotonic()))]
                if lines in ready and not self._take_lines(lines):
                    selector.unregister(lines)
                if frames in ready:
                    data = os.read(frames.fileno(), _READ_BYTES)
                    if not data:
                        return None
                    for frame in self._parser.feed(data):
                        self._on_frame(frame)
                if time.monotonic() >= next_tick:
                    if (cause := self._on_tick()) is not None:
                        return cause
                    next_tick = time.monotonic() + TICK_SECONDS

    def _end(self, *, is_wanted: bool) -> int:
        """Wait for the end, or bring it about; the exit status."""
        if not is_wanted:
            try:
                return self._process.wait(self._end_seconds)
            except subprocess.TimeoutExpired:
                pass
        self._process.kill()
        return self._process.wait()

    def _take_lines(self, pipe: IO[bytes]) -> bool:
        """Keep the error lines that have come; False at their end."""
        while True:
            try:
                data = os.read(pipe.fileno(), _READ_BYTES)
            except BlockingIOError:
                return True
            *whole, self._partial = (self._partial + data).split(b"\n")
            if not data and self._partial:
                whole.append(self._partial)
                self._partial = b""
            self._partial = self._partial[-_READ_BYTES:]
            for line in (raw.decode("utf-8", "replace").rstrip()[:_MAX_LINE_CHARS] for raw in whole):
                if line:
                    self._lines.append(line)
                    if not line.startswith(NATIVE_PREFIX):
                        _log.warning("%s", line)
            if not data:
                return False

    def _last_line(self) -> str:
        """The last line that tells of a fault, else the last one; '' where it said nothing."""
        telling = (line for line in reversed(self._lines) if _TELLING.search(line))
        line = next(telling, self._lines[-1] if self._lines else "")
        return line.removeprefix(NATIVE_PREFIX).strip().rstrip(".")


def _describe(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    if -status == signal.SIGKILL:
        return "was ended by SIGKILL, as the system does when memory runs out"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
