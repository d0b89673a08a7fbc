"""Runs the chat line by line, and sees to Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys

from runtime.chat.tools.settings import ToolSettings
from tui.history.resuming import Resume
from tui.joining import Server
from tui.keeper import Keeper
from tui.plain.chat import PlainChat
from tui.plain.lines import Lines
from tui.switching import prefer_kept
from tui.tools import ChatTools

# As shells tell the end by Ctrl-C.
_INTERRUPTED = 130


async def run_plain(
    server: Server, message: str | None, settings: ToolSettings | None, keeper: Keeper, resume: Resume
) -> int:
    """The exit status of a whole chat. Ctrl-C stops an answer; without one it is a reminder, or the end of a pipe.

    Raises:
        DemoticError: there is no endpoint.
    """
    is_asking = sys.stdin is not None and sys.stdin.isatty()
    if resume == "left" and (message is not None or not is_asking):
        resume = "new"  # a script begins where it says so
    await prefer_kept(server, keeper, resume)
    async with server, ChatTools(settings) as tools:
        chat = PlainChat(server, tools, Lines(), keeper, resume=resume, is_asking=is_asking)
        running = asyncio.create_task(chat.run(message))

        def on_interrupt() -> None:
            if not (is_asking and chat.has_begun):
                running.cancel()
            elif not chat.interrupt():
                chat.remind()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, on_interrupt)
        try:
            return await running
        except asyncio.CancelledError:
            return _INTERRUPTED
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            keeper.close()
