"""Start-up of the terminal chat: from the shell to the first picture, on a pseudo-terminal.

`scripts/bench -k chat_start` runs this and prints the result. The model loads meanwhile in its own process. One
terminal replies at once to what it is asked, as terminals do; the other one, which is the slowest, says nothing, and
the chat waits half a second for it.
"""

from __future__ import annotations

import json
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import fingerprint

MODEL = "smollm2-135m-instruct"
ROUNDS = 9
WANTED_SECONDS = 1.0
# What a terminal of the newer kind replies: no mode 8, its cursor behind each of six samples, and what it is.
REPLIES = b"\x1b[8;0$y\x1b[8;0$y" + b"".join(b"\x1b[1;%dR" % column for column in (3, 3, 3, 3, 3, 2)) + b"\x1b[?62;4c"
LAST_QUESTION = b"\x1b[c"
RESULTS = Path(__file__).parent / "results"


@pytest.mark.timeout(300)
def test_chat_start(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """The status line is there within a second, as a median, whatever the terminal says."""
    result: dict[str, Any] = benchmark.pedantic(measure)  # type: ignore[no-untyped-call]  # pytest-benchmark's
    (RESULTS / "chat_start.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print("\n" + json.dumps(result, indent=2))
    slow = {name: found["median"] for name, found in result["seconds"].items() if found["median"] > WANTED_SECONDS}
    if slow:
        raise AssertionError(f"slower than {WANTED_SECONDS} s: {slow}")


def measure() -> dict[str, Any]:
    """Several starts each, after one that warms the disk cache and does not count."""
    load_before = os.getloadavg()[0]
    terminals = {"terminal that replies": REPLIES, "terminal that says nothing": b""}
    with tempfile.TemporaryDirectory() as configuration:
        _first_picture(configuration, REPLIES)
        times: dict[str, list[float]] = {name: [] for name in terminals}
        for name in [*terminals] * ROUNDS:
            times[name].append(_first_picture(configuration, terminals[name]))
    return {
        "what": "seconds from process start to the status line of the chat, while the model loads",
        "wanted_median_seconds_at_most": WANTED_SECONDS,
        "seconds": {
            name: {"median": round(statistics.median(found), 3), "all": [round(seconds, 3) for seconds in found]}
            for name, found in times.items()
        },
        "load_average_before": round(load_before, 2),
        "machine": fingerprint(),
    }


def _first_picture(configuration: str, replies: bytes) -> float:
    outer, inner = pty.openpty()
    ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "demotic", "chat", MODEL, "--no-history"],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        env=os.environ | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "DEMOTIC_CONFIG_DIR": configuration},
    )
    try:
        told = b""
        while b"loading" not in told:
            if not select.select([outer], [], [], 30)[0]:
                raise AssertionError(f"nothing came: {told[-500:]!r}")
            told += os.read(outer, 65536)
            if replies and LAST_QUESTION in told:
                os.write(outer, replies)
                replies = b""
        return time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(30)
        os.close(outer)
        os.close(inner)
