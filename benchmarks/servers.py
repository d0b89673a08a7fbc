"""Servers in processes of their own: how each is started, when it is ready, what it takes of the processors, its end.

They are those of a comparison, and the one that tasks are put to.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
import psutil

from benchmarks.programs import HOST, Own, Program, Served
from runtime.errors import DemoticError

READY_SECONDS = 180.0
STOP_SECONDS = 30.0
MAX_CLIENTS = 8

Side = str
"""The name of the program of a side."""


@dataclass(frozen=True)
class Setup:
    """The programs of a comparison by their names, what all of them get, and what each gets of its own."""

    programs: Mapping[Side, Program]
    model: str
    file: Path
    threads: int
    context: int
    scale: float = 1.0
    clients: int = MAX_CLIENTS
    own: Mapping[Side, Own] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The names of the programs, the one first that the others are compared with."""
        return tuple(self.programs)

    @property
    def served(self) -> Served:
        """What each is to serve."""
        return Served(self.model, self.file, self.threads, self.context, self.clients)

    def command(self, side: Side, port: int) -> list[str]:
        """The command line that serves on `port`; every request may hold `context` tokens on all sides."""
        program = self.programs[side]
        return [*program.words, *program.arguments(self.served, port), *self._own(side).arguments]

    def environment(self, side: Side, port: int) -> dict[str, str]:
        """Variables that it gets over those that it inherits."""
        return {**self.programs[side].environment(port), **(self._own(side).environment or {})}

    def shown(self, side: Side) -> str:
        """The command line as one would type it, with its own environment, without the folders of this machine."""
        program = self.programs[side]
        words = self.command(side, 0)[len(program.words) :]
        shown = shlex.join(self.file.name if word == str(self.file) else word for word in words)
        settings = (f"{name}={shlex.quote(value)}" for name, value in (self._own(side).environment or {}).items())
        return " ".join((*settings, program.shown, shown))

    def _own(self, side: Side) -> Own:
        return self.own.get(side, Own())


@dataclass(frozen=True)
class Server:
    """A running server: its address, its process, and the file that it prints into."""

    url: str
    process: psutil.Process
    log: IO[bytes]

    @property
    def said(self) -> str:
        """All that it has printed, read beside its own writing."""
        return os.pread(self.log.fileno(), 2**24, 0).decode(errors="replace")

    def cpu_seconds(self) -> float:
        """Seconds of processor time that its processes have taken, those that have ended and were waited for too."""
        taken = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                taken += sum(process.cpu_times()[:4])  # user, system, and both of the children waited for
        return taken


@contextmanager
def running(setup: Setup, side: Side) -> Iterator[Server]:
    """A server of a comparison that is ready; stopped at the end.

    Raises:
        DemoticError: as `running_command`.
    """
    program, port = setup.programs[side], free_port()
    environment = setup.environment(side, port)
    with running_command(
        setup.command(side, port),
        port,
        name=side,
        ready=program.ready,
        environment=environment,
        threads=setup.threads,
    ) as server:
        program.prepare(setup.served, program.words, environment)
        yield server


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


@contextmanager
def running_command(
    words: Sequence[str],
    port: int,
    *,
    name: str,
    ready: str,
    environment: Mapping[str, str],
    threads: int | None = None,
) -> Iterator[Server]:
    """The server on `port` that a command line starts, on so many processors only; stopped at the end.

    It is ready when the path `ready` says so.

    Raises:
        DemoticError: it ended, or was not ready in time, with the last lines that it printed.
    """
    with tempfile.TemporaryFile() as log:
        with nullcontext() if threads is None else _on_cpus(threads):
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C is for this program, which stops its server in order
            )
        url = f"http://{HOST}:{port}"
        try:
            server = Server(f"{url}/v1", psutil.Process(process.pid), log)
            if not _becomes_ready(process, f"{url}{ready}"):
                said = server.said[-2000:].strip()
                raise DemoticError(f"{name} did not start: {said or 'it said nothing'}")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _on_cpus(count: int) -> Iterator[None]:
    """Let processes that start now use so many processors only, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _becomes_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether this address says that the model is loaded, within the time that a server may take."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(url, timeout=5, trust_env=False)
            if answer.status_code == 200 and answer.json().get("status") != "loading":
                return True
        time.sleep(0.1)
    return False
