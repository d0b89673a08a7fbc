"""The chat's own server: `demotic serve` in a child process, on a free loopback port, behind a key of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.errors import DemoticError
from tui.events import Endpoint
from tui.front_door import FAULT_PREFIX, MAX_LINE_BYTES
from tui.loading import watch
from tui.words import _

_READY = re.compile(r"demotic serves .* at (http://\S+)/v1(?: |$)")
_LOADS = re.compile(r"demotic loads .*; port (\d+) tells how far that is$")
_STOP_SECONDS = 5.0


class PrivateServer:
    """A server for `models` (None: the default one) that runs while this context manager is entered.

    Entering returns at once; `endpoint` waits until they are loaded, as many as the memory takes. Meanwhile `on_share`,
    which is set before, is told how much of the first one is, from 0 to 1. The child ends with this process, also where
    that is killed (`tui/child.py`). Every model may be asked for with the adapters of `adapter_dir`.
    """

    def __init__(self, *models: str | None, adapter_dir: Path | None = None) -> None:
        self._models = [model for model in models if model is not None]
        self._options = () if adapter_dir is None else ("--adapter-dir", str(adapter_dir))
        # In the environment, since everyone on the machine can read a command line.
        self._api_key = secrets.token_urlsafe(32)
        self._draining: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self.on_share: Callable[[float], None] = lambda _share: None

    async def __aenter__(self) -> Self:
        self._process: Process = await asyncio.create_subprocess_exec(
            # -P: what lies in the working folder must not stand in for the program's own modules.
            *(sys.executable, "-P", "-m", "tui.child"),
            *("serve", "--host", "127.0.0.1", "--port", "0", *self._options, "--", *self._models),
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=PIPE,
            limit=MAX_LINE_BYTES,
            env=os.environ | {"DEMOTIC_API_KEY": self._api_key},
            # Ctrl-C in the terminal is for the chat, which then stops its server in order.
            start_new_session=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in (self._draining, self._watching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def endpoint(self) -> Endpoint:
        """Wait until the server answers; to be called once.

        Raises:
            DemoticError: the server ended instead, with its own sentence.
        """
        told: list[str] = []
        async for line in self._lines():
            if loads := _LOADS.match(line):
                there = Endpoint(f"http://127.0.0.1:{loads[1]}", self._api_key)
                self._watching = asyncio.create_task(watch(there, self.on_share))
            elif ready := _READY.match(line):
                if self._watching is not None:
                    self._watching.cancel()
                self._draining = asyncio.create_task(self._drain())
                return Endpoint(ready[1], self._api_key, tuple(told))
            else:
                told.append(line)
        raise _start_fault(told, await self._process.wait())

    async def _lines(self) -> AsyncIterator[str]:
        stderr = self._process.stderr
        while stderr is not None and (line := await stderr.readline()):
            yield line.decode(errors="replace").rstrip()

    async def _drain(self) -> None:
        """Read on, so that the pipe never fills and blocks the server."""
        async for _line in self._lines():
            pass


def _start_fault(told: list[str], status: int) -> DemoticError:
    for line in reversed(told):
        if line.startswith(FAULT_PREFIX):
            return DemoticError(line.removeprefix(FAULT_PREFIX))
    sentence = _("The model's server ended while it started, with status {status}.").format(status=status)
    return DemoticError(
        f"{sentence} {told[-1]}" if told else sentence,
        remedy=_("`demotic --debug serve` with the same model shows more."),
    )
