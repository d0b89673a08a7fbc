"""A real worker over a scripted decoder, with one fault: what native code may do to its process.

`command(FAULT)` is what starts it. Only the loading of a backend is replaced; all else is the product's own code.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

from runtime.backends.base import Chunk, Logits
from runtime.backends.load import LoadedDecoder
from runtime.engine import worker
from runtime.errors import ModelLoadFailed
from runtime.hardware.plan import Plan
from runtime.hardware.retreat import load_or_retreat, no_room
from tests.fakes.decoder import ByteTokenizer, ScriptedDecoder

ROOT = Path(__file__).parents[2]
NOISE = "this is not a frame\n" * 100
PLAN = Plan(
    threads=1,
    threads_batch=1,
    batch_size=16,
    ubatch_size=16,
    context_length=100_000,
    num_cells=100_000,
    max_sequences=4,
    gpu_layers=0,
    flash_attention=True,
    kv_type="f16",
    reasons={"threads": "One is enough."},
    estimated_bytes=1,
)


def command(fault: str = "") -> list[str]:
    """How to start a worker that has this fault."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.fakes.worker import main; main({fault!r})"
    return [sys.executable, "-c", code]


def count_up(tokens: list[int]) -> int:
    return tokens[-1] % 256 + 1


class FaultyDecoder(ScriptedDecoder):
    """Does what its fault says in the third step."""

    def __init__(self, fault: str) -> None:
        super().__init__(count_up, context_length=100_000, num_cells=1_000_000)
        self._fault = fault

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        time.sleep(0.002)
        if len(self.steps) == 2:
            self._go_wrong()
        return super().forward(chunks, adapter)

    def _go_wrong(self) -> None:
        match self._fault:
            case "noise":
                make_noise()
            case "abort":
                os.write(2, b"loading went well\nggml.c:1: GGML_ASSERT(a == b) failed\nso it ends here\n")
                signal.signal(signal.SIGABRT, signal.SIG_DFL)
                os.abort()
            case "card":  # as ggml's CUDA backend ends
                os.write(
                    2,
                    b"CUDA error: out of memory\n  current device: 0, in function alloc\nggml-cuda.cu:98: CUDA error\n",
                )
                signal.signal(signal.SIGABRT, signal.SIG_DFL)
                os.abort()
            case "no memory":
                raise no_room("scripted", "failed to allocate CUDA0 buffer")
            case "exit":
                os._exit(3)
            case "hang":
                time.sleep(600)
            case "junk":
                os.write(frames_fd(), b"\xff\xff\xff\xff and more")
            case "nonsense":
                os.write(frames_fd(), b"\0\0\0\3abc")


def make_noise() -> None:
    """Print in all the ways there are, more than a pipe holds."""
    libc = ctypes.CDLL(None)
    for _ in range(40):
        print(NOISE, flush=True)  # noqa: T201
        os.write(1, NOISE.encode())
        os.write(2, NOISE.encode())
        libc.puts(NOISE.encode())
        libc.fflush(None)


def frames_fd() -> int:
    """The pipe that the events go to: the only one, besides standard output and error, that is open for writing."""
    for fd in range(3, 100):
        try:
            is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        except OSError:
            continue
        if is_pipe and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
            return fd
    raise RuntimeError("there is no such pipe")


def main(fault: str) -> None:
    def load_decoder(path: Path, plan: Plan, *, progress: Callable[[float], bool]) -> LoadedDecoder:
        match fault:
            case "crowded":
                return load_or_retreat(plan, crowded)
            case "refuse":
                raise ModelLoadFailed(f"llama.cpp could not load {path}.", remedy="Fetch it again.")
            case "break":
                raise RuntimeError("the library is broken")
            case "stall":
                progress(0.5)
                time.sleep(600)
            case "slow":
                for step in range(7):
                    progress(step / 7)
                    time.sleep(0.4)
        decoder = FaultyDecoder(fault)
        return LoadedDecoder(decoder, ByteTokenizer(), decoder.close, plan)

    def crowded(plan: Plan) -> LoadedDecoder:
        if plan.gpu_layers > 4:
            raise no_room("scripted", "cudaMalloc failed: out of memory")
        decoder = FaultyDecoder("")
        return LoadedDecoder(decoder, ByteTokenizer(), decoder.close, plan)

    with patch.object(worker, "load_decoder", load_decoder):
        worker.main()
