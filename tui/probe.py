"""Asks the terminal how it shows text: whether it reorders, and how many cells it takes for what is hard to count.

Reordering: BDSM, mode 8 of ECMA-48 and of "BiDi in terminal emulators" (terminal-wg.pages.freedesktop.org/bidi). A
terminal that has it is told to leave the order to the chat, and to go back to its own when the chat ends. One that has
not, but reorders, is known by its environment variables. Cells: a sample is written and the cursor's column asked.

This file imports little: it asks before all else, and the chat is imported while the terminal replies.
"""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tui.terminal import Terminal

Setting = Literal["auto", "on", "off"]
SETTINGS: tuple[Setting, ...] = ("auto", "on", "off")

# In the order in which `terminal_from` takes them: a family, a heart, a thumb, a conjunct, the same with a joiner,
# a vowel sign.
_SAMPLES = ("👩‍👩‍👧", "❤️", "👍🏽", "क्ष", "क्\N{ZERO WIDTH JOINER}ष", "कि")
_SECONDS = 0.5
_MODE = re.compile(r"\x1b\[8;(\d)\$y")
_COLUMN = re.compile(r"\x1b\[\d+;(\d+)R")
_LAST_REPLY = re.compile(r"\x1b\[\?[\d;]*c")
_ASK_MODE, _ASK_COLUMN, _ASK_LAST = "\x1b[8$p", "\x1b[6n", "\x1b[c"
_EXPLICIT, _IMPLICIT = "\x1b[8l", "\x1b[8h"
# Replies about a mode: set, reset, and both for ever; 0 is that it is not known.
_NEVER = frozenset("24")
_KNOWN = frozenset("1234")
# VTE has BDSM since 0.58, but tells of it only later.
_VTE_WITH_BDSM = 5800


@contextmanager
def asking(setting: Setting) -> Iterator[Callable[[], Terminal]]:
    """Ask the terminal of this process; what is given waits for its replies and tells what it is, to be called once.

    It is made ready for right-to-left text as `setting` says, until the context ends. auto: the terminal's own order is
    switched off where it can be, and trusted where it cannot. on: the chat lays out in any case. off: it never does,
    and the terminal is left as it is.
    """
    modes = "" if setting == "off" else f"{_ASK_MODE}{_EXPLICIT}{_ASK_MODE}"
    told = ""

    def learn() -> Terminal:
        nonlocal told
        told = replies()
        lays_out = setting == "on" or (setting == "auto" and not reorders(told, os.environ))
        return terminal_from(told, lays_out=lays_out)

    with _asked(f"{modes}{_questions()}{_ASK_LAST}") as replies:
        try:
            yield learn
        finally:
            told = told or replies()  # what nobody reads here would be typed into the shell
            if setting != "off" and _was_switched(told, os.environ):
                _write(_IMPLICIT)


def terminal_from(told: str, *, lays_out: bool) -> Terminal:
    """The terminal that gave these replies; what it does not tell is as in terminals of the newer kind."""
    from tui.terminal import Terminal

    columns = [int(found) for found in _COLUMN.findall(told)]
    if len(columns) != len(_SAMPLES):
        return Terminal(lays_out=lays_out)
    family, heart, thumb, conjunct, joined, vowel = (column - 1 for column in columns)
    return Terminal(
        lays_out=lays_out,
        joins_emoji=family == 2,
        widens_emoji=heart == 2,
        tints_emoji=thumb == 2,
        joins_letters=joined == 1,
        joins_conjuncts=conjunct == 1,
        spaces_marks=vowel == 2,
    )


def reorders(told: str, environment: Mapping[str, str]) -> bool:
    """Whether a terminal goes on reordering after it was told not to: by its replies, else by its environment.

    Inside tmux and screen, the terminal around them is not told.
    """
    modes = _MODE.findall(told)
    if modes and modes[-1] in _KNOWN:
        return bool(modes[-1] not in _NEVER)
    is_wrapped = bool(environment.get("TMUX") or environment.get("STY"))
    return (
        (_vte(environment) >= _VTE_WITH_BDSM and is_wrapped)
        or bool(environment.get("KONSOLE_VERSION") or environment.get("MLTERM"))
        or environment.get("TERM_PROGRAM") == "Apple_Terminal"
    )


def _was_switched(told: str, environment: Mapping[str, str]) -> bool:
    modes = _MODE.findall(told)
    if modes and modes[0] in _KNOWN:
        return bool(modes[0] != modes[-1])
    return _vte(environment) >= _VTE_WITH_BDSM and not reorders(told, environment)


def _vte(environment: Mapping[str, str]) -> int:
    version = environment.get("VTE_VERSION", "")
    return int(version) if version.isdecimal() else 0


def _questions() -> str:
    """Each sample at the beginning of the line, the column behind it, and the line empty again."""
    return "".join(f"\r{sample}{_ASK_COLUMN}\r\x1b[K" for sample in _SAMPLES)


def _is_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()


def _write(text: str) -> None:
    os.write(sys.stdout.fileno(), text.encode())


@contextmanager
def _asked(question: str) -> Iterator[Callable[[], str]]:
    """Ask the terminal, if there is one; what is given waits for what it replies within `_SECONDS` from now on.

    Every terminal answers the last question, which says what it is. Until then nothing that comes is shown.
    """
    if not _is_there():
        yield lambda: ""
        return
    import termios
    import tty

    source = sys.stdin.fileno()
    before = termios.tcgetattr(source)

    def replies() -> str:
        told = b""
        while (left := until - time.monotonic()) > 0 and not _LAST_REPLY.search(told.decode(errors="replace")):
            if select.select([source], [], [], left)[0]:
                told += os.read(source, 4096)
        termios.tcsetattr(source, termios.TCSANOW, before)
        return told.decode(errors="replace")

    try:
        tty.setcbreak(source, termios.TCSANOW)
        _write(question)
        until = time.monotonic() + _SECONDS
        yield replies
    finally:
        termios.tcsetattr(source, termios.TCSANOW, before)
