"""What a private server's process runs: `demotic` with the arguments given, and its end when the chat is gone.

`python -m tui.child serve MODEL ...`, with a pipe as standard input that the chat never writes to. The kernel closes
the pipe with the chat, however that ends (SIGKILL too), on Linux and macOS alike. Linux's PR_SET_PDEATHSIG would need
code between fork and exec, which is not safe in a program with threads, and ends the child with the *thread* that
started it.
"""

from __future__ import annotations

import os
import runpy
import threading

_STANDARD_INPUT = 0


def main() -> None:
    """Run the front door in this process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    runpy.run_module("demotic", run_name="__main__")


def _end_with_parent() -> None:
    while os.read(_STANDARD_INPUT, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
