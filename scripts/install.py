"""Run pip with a line of progress, since compiling llama.cpp takes minutes of silence otherwise.

python scripts/install.py REQUIREMENT [PIP-OPTION...]
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

# pip --verbose shows the build's own counter: Ninja's "[12/84] g++ ...", or Make's "[ 14%] Building".
_BUILD_STEP = re.compile(r"^\s*\[ *(\d+(?:/\d+|%))\] ")
_WORTH_SHOWING = re.compile(r"^\s*(Collecting \S+|Building wheel for \S+|Installing collected packages)")
_SECONDS_BETWEEN_LINES = 15


def main() -> int:
    """Install what the command line names into this interpreter's environment; return pip's exit status."""
    log = Path(sys.prefix) / "install.log"
    constraints = "constraints-optimum.txt" if "optimum" in sys.argv[1] else "constraints.txt"
    pip = [sys.executable, "-m", "pip", "install", "--verbose", "--constraint", constraints]
    command = [*pip, "--editable", *sys.argv[1:]]
    started = time.monotonic()
    last_lines: deque[str] = deque(maxlen=30)
    display = _Display()
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as run,
    ):
        for line in run.stdout or ():
            file.write(line)
            last_lines.append(line)
            if step := _BUILD_STEP.search(line):
                display.show(f"compiling llama.cpp: {step[1]}", time.monotonic() - started)
            elif found := _WORTH_SHOWING.search(line):
                display.show(found[1], time.monotonic() - started)
    display.close()
    if run.returncode:
        sys.stderr.writelines(last_lines)
        print(f"The installation failed; all of it is in {log}.", file=sys.stderr)
    else:
        print(f"Installed in {time.monotonic() - started:.0f} s.", file=sys.stderr)
    return run.returncode


class _Display:
    """One line that is written over on a terminal; a line now and then elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._last_shown = float("-inf")

    def show(self, what: str, seconds: float) -> None:
        line = f"{int(seconds) // 60}:{int(seconds) % 60:02d}  {what}"
        if self._is_terminal:
            print(f"\r\x1b[K{line[:78]}", end="", file=sys.stderr, flush=True)
        elif seconds - self._last_shown >= _SECONDS_BETWEEN_LINES:
            self._last_shown = seconds
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
