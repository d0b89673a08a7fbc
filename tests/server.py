"""A real `demotic serve` in a second process."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class ServerProcess:
    """A running server, its address, and what it has printed."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


@contextmanager
def serving(*arguments: str) -> Iterator[ServerProcess]:
    """`demotic serve ARGUMENTS --port 0`, stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "demotic", "serve", *arguments, "--port", "0"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line.rstrip())
            if found := re.search(r"http://\S+:\d+", line):
                server = ServerProcess(process, found[0], lines)
                break
        else:
            raise RuntimeError(f"the server did not start: {lines}")
        # Read on, so that the pipe never fills.
        reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
        reader.start()
        yield server
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()
