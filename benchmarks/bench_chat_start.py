"""Start-up of the terminal chat: from the shell to the first picture, on a pseudo-terminal.

`scripts/bench -k chat_start` runs this and prints the result. The model loads meanwhile in its own process. The
terminal answers nothing, as the slowest one; `--bidi off` asks it nothing.
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
RESULTS = Path(__file__).parent / "results"


@pytest.mark.timeout(300)
def test_chat_start(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """The status line is there within a second, as a median."""
    result: dict[str, Any] = benchmark.pedantic(measure)  # type: ignore[no-untyped-call]  # pytest-benchmark's
    (RESULTS / "chat_start.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print("\n" + json.dumps(result, indent=2))
    if result["median_seconds"] > WANTED_SECONDS:
        raise AssertionError(f"slower than {WANTED_SECONDS} s: {result['median_seconds']}")


def measure() -> dict[str, Any]:
    """Several starts, after one that warms the disk cache and does not count."""
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as configuration:
        times = [_first_picture(configuration) for _ in range(ROUNDS + 1)][1:]
    return {
        "what": "seconds from process start to the status line of the chat, while the model loads",
        "wanted_median_seconds_at_most": WANTED_SECONDS,
        "median_seconds": round(statistics.median(times), 3),
        "all": [round(seconds, 3) for seconds in times],
        "load_average_before": round(load_before, 2),
        "machine": fingerprint(),
    }


def _first_picture(configuration: str) -> float:
    outer, inner = pty.openpty()
    ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "demotic", "chat", MODEL, "--bidi", "off", "--no-history"],
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
        return time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(30)
        os.close(outer)
        os.close(inner)
