"""The two servers of a comparison: how each is started, when it is ready, what it takes of the processors, its end."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import httpx
import psutil

from runtime.errors import DemoticError

HOST = "127.0.0.1"
READY_SECONDS = 180.0
STOP_SECONDS = 30.0
MAX_CLIENTS = 8

Side = Literal["demotic", "llama-server"]
SIDES: tuple[Side, Side] = ("demotic", "llama-server")


@dataclass(frozen=True)
class Own:
    """What only one of the servers gets: more arguments, and environment variables over those that it inherits."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Setup:
    """What both servers get, and what each gets of its own."""

    llama_server: Path
    model: str
    file: Path
    threads: int
    context: int
    scale: float
    own: Mapping[Side, Own]

    def command(self, side: Side, port: int) -> list[str]:
        """The command line that serves on `port`; every request may hold `context` tokens on both sides."""
        if side == "demotic":
            return [
                *(sys.executable, "-m", "demotic", "serve", str(self.file)),
                *("--host", HOST, "--port", str(port), "--context", str(self.context)),
                *self.own[side].arguments,
            ]
        return [
            *(str(self.llama_server), "--model", str(self.file), "--alias", self.model),
            *("--host", HOST, "--port", str(port), "--no-webui"),
            *("--threads", str(self.threads), "--threads-batch", str(self.threads)),
            # llama-server divides its context among its slots.
            *("--parallel", str(MAX_CLIENTS), "--ctx-size", str(self.context * MAX_CLIENTS)),
            *self.own[side].arguments,
        ]

    def shown(self, side: Side) -> str:
        """The command line as one would type it, with its own environment, without the folders of this machine."""
        folders = {str(self.file): self.file.name, str(self.llama_server): "llama-server", sys.executable: "python"}
        words = shlex.join(folders.get(word, word) for word in self.command(side, 0))
        settings = (f"{name}={shlex.quote(value)}" for name, value in self.own[side].environment.items())
        return " ".join((*settings, words))


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
    """A server that is ready; stopped at the end.

    Raises:
        DemoticError: it ended, or was not ready in time, with the last lines that it printed.
    """
    with socket.socket() as free, tempfile.TemporaryFile() as log:
        free.bind((HOST, 0))
        port = int(free.getsockname()[1])
        free.close()
        with _on_cpus(setup.threads):
            process = subprocess.Popen(
                setup.command(side, port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **setup.own[side].environment},
                start_new_session=True,  # Ctrl-C is for this script, which stops its server in order
            )
        url = f"http://{HOST}:{port}"
        try:
            server = Server(f"{url}/v1", psutil.Process(process.pid), log)
            if not _becomes_ready(process, url):
                said = server.said[-2000:].strip()
                raise DemoticError(f"{side} did not start: {said or 'it said nothing'}")
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
    """Whether `/health` says that the model is loaded, within the time that a server may take."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(f"{url}/health", timeout=5, trust_env=False)
            if answer.status_code == 200 and answer.json().get("status") != "loading":
                return True
        time.sleep(0.1)
    return False


def version(llama_server: Path) -> str:
    """What llama-server says that it is, in one line."""
    done = subprocess.run([str(llama_server), "--version"], capture_output=True, text=True, check=False)
    return " ".join((done.stdout + done.stderr).split()) or "it states no version"
