"""The chat in a terminal that others wrote: tmux, whose screen can be read back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from tests.tui.endpoint import running_endpoint
from tui.app import ChatApp
from tui.probe import asking
from tui.words import use

use(sys.argv[1])
with running_endpoint() as fake, asking("auto") as learn:
    terminal = learn()
    terminal.apply()
    fake.script = [["نعم، `x = 1` في Python (3.11).\\n\\n- واحد ", "👨\u200d👩\u200d👧 ❤️ ثم"]]
    ChatApp(fake.connect, message="هل هذا صحيح؟", terminal=terminal).run()
"""
MIXED = "किताब र्\u200dया 👨\u200d👩\u200d👧 ❤️ 👍🏽 กำ 漢字 e\u0301 x"

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A tmux of its own; called with a command of tmux, it gives what that prints."""
    environment = {name: value for name, value in os.environ.items() if name not in {"TMUX", "VTE_VERSION"}}
    environment |= {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}

    def run(*command: str) -> str:
        done = subprocess.run(
            ["tmux", "-f", os.devnull, "-S", str(tmp_path / "socket"), *command],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=ROOT,
        )
        return done.stdout

    yield run
    run("kill-server")


def screen_with(tmux: Callable[..., str], text: str) -> list[str]:
    """The lines on the screen, as soon as `text` is there."""
    until = time.monotonic() + 20
    while text not in (shown := tmux("capture-pane", "-p")):
        assert time.monotonic() < until, shown
        time.sleep(0.1)
    return [line.rstrip() for line in shown.splitlines() if line.strip()]


def test_a_real_terminal_shows_arabic_in_order_and_every_row_in_its_place(tmux: Callable[..., str]) -> None:
    tmux("new-session", "-d", "-x", "60", "-y", "24", f"{sys.executable} -c '{PROGRAM}' ar")
    shown = screen_with(tmux, "زهاج")
    assert [line.strip(" ▌") for line in shown[:3]] == [
        "؟حيحص اذه له",
        ".Python (3.11) يف x = 1 ،معن",
        "مث ❤️ 👨\u200d👩\u200d👧 دحاو •",
    ]
    assert "ةغللا" in shown[-1]
    tmux("send-keys", "-l", MIXED)
    (row,) = [line for line in screen_with(tmux, "e\u0301 x") if line.startswith("│")]
    # One that was counted wrongly would have pushed the border, or left a part of the old one.
    assert row.startswith(f"│ {MIXED} ")
    assert row.endswith(" │")
    assert row.count("│") == 2
    before = int(tmux("display-message", "-p", "#{cursor_x}"))
    tmux("send-keys", "-l", "y")
    screen_with(tmux, "e\u0301 xy")
    assert int(tmux("display-message", "-p", "#{cursor_x}")) == before + 1
