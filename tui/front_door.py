"""The program's own commands, run by the chat in a child process: it imports nothing of what they need."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

from runtime.errors import DemoticError
from tui.words import _

FAULT_PREFIX = "demotic: "
MAX_LINE_BYTES = 2**20
_STOP_SECONDS = 5.0
_RUNNING: set[Process] = set()


async def output_of(*arguments: str, on_line: Callable[[str], None] | None = None) -> bytes:
    """What `demotic ARGUMENTS` prints. `on_line` is told each line that it says meanwhile on standard error.

    A caller that is cancelled interrupts the command, as Ctrl-C does, and waits for its end.

    Raises:
        DemoticError: it failed, with its own sentence.
    """
    process = await asyncio.create_subprocess_exec(
        # -P: what lies in the working folder must not stand in for the program's own modules.
        *(sys.executable, "-P", "-m", "tui.child", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=MAX_LINE_BYTES,
        env=dict(os.environ),
        # Ctrl-C in the terminal is for the chat.
        start_new_session=True,
    )
    _RUNNING.add(process)
    said: list[str] = []

    async def listen() -> None:
        while process.stderr is not None and (line := await process.stderr.readline()):
            said.append(line.decode(errors="replace").rstrip())
            if on_line is not None:
                on_line(said[-1])

    async def read() -> bytes:
        return await process.stdout.read() if process.stdout is not None else b""

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen())
            printed = tasks.create_task(read())
        status = await process.wait()
    except BaseException:
        await _interrupt(process)
        raise
    _close(process)
    if status != 0:
        raise DemoticError(_fault_in(said) or _("The command ended with status {status}.").format(status=status))
    return printed.result()


async def end_all() -> None:
    """Interrupt the commands that run still, and wait for their ends: nobody waits for them any more."""
    for process in list(_RUNNING):
        await _interrupt(process)


async def _interrupt(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
    _close(process)


def _close(process: Process) -> None:
    """Close the pipes of a process that has ended."""
    _RUNNING.discard(process)
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001  # asyncio has no public name for it


def _fault_in(said: list[str]) -> str | None:
    """The sentence of the fault that the command told last."""
    return next((line.removeprefix(FAULT_PREFIX) for line in reversed(said) if line.startswith(FAULT_PREFIX)), None)
