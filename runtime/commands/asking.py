"""Asks the person at the terminal whether a tool may run."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime.chat.tools.approval import Ask, Verdict
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.showing import described
from runtime.chat.tools.sources.base import OfferedTool
from runtime.chat.tools.sources.functions import in_thread

_TERMINAL = Path("/dev/tty")
_VERDICTS: dict[str, Verdict] = {"y": "once", "a": "always", "n": "deny", "": "deny"}


def terminal_ask() -> Ask | None:
    """What asks at the terminal; None where there is none, or where nobody would see the question."""
    if not sys.stderr.isatty():
        return None
    try:
        _TERMINAL.open().close()
    except OSError:
        return None
    return _ask


async def _ask(tool: OfferedTool, call: ToolCall) -> Verdict:
    hint = " (it says that it only reads)" if tool.is_read_only else ""
    _say(f"demotic: the model wants to run {described(call)}{hint}\n")
    while True:
        _say("Run it? [y] once, [a] always, [n] no: ")
        # Of its own, since what is piped in is the prompt. An end of input is a no.
        word = (await in_thread(_read_line)).strip().lower()
        if word in _VERDICTS:
            return _VERDICTS[word]


def _read_line() -> str:
    with _TERMINAL.open(encoding="utf-8", errors="replace") as terminal:
        return terminal.readline()


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
