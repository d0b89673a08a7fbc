"""How fast a device's memory can be read and written: what bounds the generation of text with one request at a time.

Each token reads all weights and all keys and values once, so that a device can do no more steps a second than its
bandwidth over these bytes. The bandwidth is measured by a copy, which reads and writes each byte once.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.errors import InferenceFailed
from runtime.hardware.room import KVType, kv_bytes
from runtime.models.header import ModelShape

COPY_BYTES = 1 << 28
REPETITIONS = 5
_DEVICE_TO_DEVICE = 3  # cudaMemcpyDeviceToDevice


@dataclass(frozen=True)
class Limit:
    """What one step of one request reads, in bytes, and how many steps a second the device's memory allows."""

    bytes_per_step: int
    steps_per_second: float


def limit_of(shape: ModelShape, kv_type: KVType, position: int, bandwidth: float) -> Limit:
    """The limit for a token at `position` of its text, at a bandwidth in bytes a second.

    Of the embedding one row is read for the input; where it is the head, all of it is read for the output.
    """
    weights = sum(shape.block_bytes) + shape.output_bytes
    cells = kv_bytes(shape, sum(shape.head_counts_kv), kv_type, position)
    return Limit(weights + cells, bandwidth / (weights + cells))


def cpu_bandwidth(threads: int) -> float:
    """Bytes a second that so many threads read and write together; the best of five copies."""
    size = COPY_BYTES // threads
    pairs = [(np.ones(size, np.uint8), np.empty(size, np.uint8)) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(REPETITIONS):
            started = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))
            best = max(best, 2 * size * threads / (time.perf_counter() - started))
    return best


def cuda_bandwidth(device: int = 0) -> float:
    """Bytes a second that a CUDA card reads and writes in a copy from its memory to its memory; the best of five.

    Raises:
        InferenceFailed: CUDA's runtime library is not here, or fails.
    """
    cuda = _cuda_runtime()

    def call(name: str, *arguments: object) -> None:
        if status := getattr(cuda, name)(*arguments):
            raise InferenceFailed(
                f"CUDA failed in {name} with status {status}.", remedy="`demotic doctor` says what is wrong."
            )

    source, target = ctypes.c_void_p(), ctypes.c_void_p()
    size = ctypes.c_size_t(COPY_BYTES)
    call("cudaSetDevice", ctypes.c_int(device))
    try:
        for pointer in (source, target):
            call("cudaMalloc", ctypes.byref(pointer), size)
        best = 0.0
        for _ in range(1 + REPETITIONS):  # the first one wakes the card
            started = time.perf_counter()
            for _ in range(REPETITIONS):
                call("cudaMemcpy", target, source, size, ctypes.c_int(_DEVICE_TO_DEVICE))
            call("cudaDeviceSynchronize")
            best = max(best, 2 * COPY_BYTES * REPETITIONS / (time.perf_counter() - started))
        return best
    finally:
        for pointer in (source, target):
            cuda.cudaFree(pointer)


def _cuda_runtime() -> ctypes.CDLL:
    """CUDA's runtime library: the one that llama.cpp has loaded, else the system's, else that of pip's packages."""
    import sysconfig

    packages = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    found = ctypes.util.find_library("cudart")
    names = [*([found] if found else []), "libcudart.so", *map(str, sorted(packages.rglob("libcudart.so*")))]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise InferenceFailed(
        "CUDA's runtime library (libcudart) is not found.", remedy="Install the CUDA toolkit, or set LD_LIBRARY_PATH."
    )
