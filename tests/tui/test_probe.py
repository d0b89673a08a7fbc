"""What the terminal is asked, and what is made of its replies."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tui.probe import reorders, terminal_from
from tui.terminal import Terminal

ROOT = Path(__file__).parents[2]
QUERY = "\x1b[8$p"


def columns(*widths: int) -> str:
    return "".join(f"\x1b[1;{width + 1}R" for width in widths) + "\x1b[?62;4c"


@pytest.mark.parametrize(
    ("told", "terminal"),
    [
        (columns(2, 2, 2, 2, 2, 1), Terminal()),
        (columns(6, 1, 4, 2, 2, 2), Terminal(True, False, False, False, False, False, True)),
        # tmux 3.3a.
        (columns(2, 1, 4, 2, 1, 2), Terminal(True, True, False, False, True, False, True)),
        (columns(2, 2, 2, 1, 1, 1), Terminal(joins_letters=True, joins_conjuncts=True)),
        (columns(2, 2), Terminal()),
        ("", Terminal()),
    ],
)
def test_cells_are_counted_as_the_terminal_moves_its_cursor(told: str, terminal: Terminal) -> None:
    assert terminal_from(told, lays_out=True) == terminal


@pytest.mark.parametrize(
    ("replies", "environment", "expected"),
    [
        # Told not to reorder, and obeyed; was so before; knows no such mode; reorders for ever.
        ("\x1b[8;1$y\x1b[8;2$y", {}, False),
        ("\x1b[8;2$y\x1b[8;2$y", {}, False),
        ("\x1b[8;0$y\x1b[8;0$y", {}, False),
        ("\x1b[8;3$y\x1b[8;3$y", {}, True),
        ("\x1b[8;4$y\x1b[8;4$y", {"KONSOLE_VERSION": "230800"}, False),
        ("", {}, False),
        ("", {"VTE_VERSION": "7006"}, False),
        ("", {"VTE_VERSION": "7006", "TMUX": "socket,1,0"}, True),
        ("", {"VTE_VERSION": "5202", "TMUX": "socket,1,0"}, False),
        ("\x1b[8;0$y\x1b[8;0$y", {"KONSOLE_VERSION": "230800"}, True),
        ("", {"TERM_PROGRAM": "Apple_Terminal"}, True),
        ("", {"TERM_PROGRAM": "iTerm.app"}, False),
        ("", {"MLTERM": "3.9.3"}, True),
        ("", {"WT_SESSION": "1"}, False),
    ],
)
def test_who_reorders_is_asked_and_else_known_by_the_environment(
    replies: str, environment: dict[str, str], expected: bool
) -> None:
    assert reorders(replies, environment) is expected


class FakeTerminal:
    """A terminal at the other side of a pseudo-terminal: it takes two cells for everything, and has the mode BDSM."""

    def __init__(self, setting: str, *, is_silent: bool = False) -> None:
        self.mode = "1"
        self.written = ""
        code = (
            "from tui.probe import asking\n"
            f"with asking({setting!r}) as learn: print('GOT', learn(), 'READY', flush=True), input()"
        )
        main, other = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=other, stdout=other, stderr=other, cwd=ROOT, close_fds=True
        )
        os.close(other)
        has_typed = False
        while select.select([main], [], [], 10)[0]:
            try:
                told = os.read(main, 4096).decode()
            except OSError:  # the process has ended
                break
            self.written += told
            for question in re.findall(r"\x1b\[8\$p|\x1b\[8[lh]|\x1b\[6n|\x1b\[c", told):
                reply = self._reply(question)
                if not is_silent:
                    os.write(main, reply.encode())
            if not has_typed and "READY" in self.written:
                has_typed = True
                os.write(main, b"typed\n")
        os.close(main)
        assert process.wait(10) == 0
        (self.got,) = re.findall(r"GOT Terminal\((.*?)\) READY", self.written.replace("\r\n", ""))

    def _reply(self, question: str) -> str:
        if question[-1] in "lh":
            self.mode = "2" if question[-1] == "l" else "1"
            return ""
        return {QUERY: f"\x1b[8;{self.mode}$y", "\x1b[6n": "\x1b[1;3R", "\x1b[c": "\x1b[?65;1c"}[question]


def test_a_terminal_that_can_is_told_to_leave_the_order_alone_until_the_end() -> None:
    terminal = FakeTerminal("auto")
    assert "lays_out=True" in terminal.got
    assert "spaces_marks=True" in terminal.got
    assert terminal.written.count("\x1b[8l") == 1
    assert terminal.mode == "1"
    # The samples are gone from the line.
    assert terminal.written.count("\r\x1b[K") == 6


def test_a_terminal_is_left_as_it_is_where_it_is_to_reorder() -> None:
    terminal = FakeTerminal("off")
    assert "lays_out=False" in terminal.got
    assert "\x1b[8" not in terminal.written


def test_a_terminal_that_says_nothing_is_not_waited_for_long() -> None:
    started = time.monotonic()
    terminal = FakeTerminal("on", is_silent=True)
    assert terminal.got == repr(Terminal()).removeprefix("Terminal(").removesuffix(")")
    assert time.monotonic() - started < 15
