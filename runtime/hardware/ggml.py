"""What the installed llama.cpp can do: its version, the instructions it was compiled for, the devices it sees.

llama_cpp does not expose ggml's device registry; it is read here through ctypes (`ggml/include/ggml-backend.h`).
"""

from __future__ import annotations

import ctypes
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

DeviceType = Literal["cpu", "gpu", "igpu", "accel", "other"]

# enum ggml_backend_dev_type, in its order
_DEVICE_TYPES: tuple[DeviceType, ...] = ("cpu", "gpu", "igpu", "accel")
# names that the registry abbreviates
_BACKEND_NAMES = {"MTL": "Metal"}
_TRIAL = "import llama_cpp; llama_cpp.llama_print_system_info()"
_TRIAL_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended: `code` is its exit status, or minus the signal that ended it."""

    code: int
    output: str


Runner = Callable[[Sequence[str], float], Outcome | None]
"""Runs a command under a time limit in seconds; None when it could not be started or ran too long."""


@dataclass(frozen=True)
class GgmlDevice:
    """A device of ggml's registry. Memory in bytes; for a CPU it is the machine's, cgroup limits not applied."""

    name: str
    description: str
    backend: str
    type: DeviceType
    memory_free: int
    memory_total: int


@dataclass(frozen=True)
class LlamaBuild:
    """The llama.cpp that is installed.

    `fault` says why it cannot be used, `card_fault` why its cards cannot, and both are empty when they can. `backends`
    are what it was compiled for, whether or not there is such a device.
    """

    version: str = ""
    cpu_features: tuple[str, ...] = ()
    devices: tuple[GgmlDevice, ...] = ()
    fault: str = ""
    backends: tuple[str, ...] = ()
    card_fault: str = ""


def read_build() -> LlamaBuild:
    """Read version, features and devices in this process; it imports llama_cpp. Never raises."""
    try:
        import llama_cpp

        info = llama_cpp.llama_print_system_info().decode("utf-8", "replace")
    except (ImportError, OSError, RuntimeError, AttributeError) as fault:
        return LlamaBuild(fault=f"llama_cpp cannot be imported: {fault}")
    return LlamaBuild(
        version=llama_cpp.__version__,
        cpu_features=parse_features(info),
        devices=read_devices(),
        backends=_read_backends(),
    )


@cache
def card_backend() -> str | None:
    """The backend of the devices that llama.cpp gives layers to, such as "CUDA"; None where it sees none."""
    types = {device.type: device.backend for device in reversed(read_devices())}
    return types.get("gpu") or types.get("igpu")


def try_build(run: Runner) -> str:
    """Load the build in a child process and say what went wrong, or "".

    A build with instructions that the processor lacks ends its process with SIGILL, so the first try is another's.
    """
    outcome = run([sys.executable, "-c", _TRIAL], _TRIAL_SECONDS)
    if outcome is None or outcome.code == 0:
        return ""
    if outcome.code == -signal.SIGILL:
        return "it was compiled for another processor (illegal instruction)"
    if outcome.code < 0:
        return f"it ends the process with signal {-outcome.code}"
    last = outcome.output.strip().splitlines()[-1:]
    return f"llama_cpp cannot be imported: {''.join(last) or f'exit status {outcome.code}'}"


def try_cards(run: Runner) -> str:
    """Let each device compute something in a child process, and say what went wrong, or ""."""
    outcome = run([sys.executable, "-P", "-m", "runtime.hardware.trial"], _TRIAL_SECONDS)
    if outcome is None:
        return f"they computed nothing in {_TRIAL_SECONDS:g} s"
    lines = [line.strip() for line in outcome.output.splitlines() if line.strip()]
    if outcome.code == 0:
        return "; ".join(line for line in lines if not line.startswith("ggml_"))
    telling = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no reason given")
    return f"the trial ended with {outcome.code}: {telling}"


def parse_features(info: str) -> tuple[str, ...]:
    """Take the processor features out of `llama_print_system_info`, which lists every backend's in one line."""
    section, features = "CPU", []
    for piece in info.split("|"):
        head, colon, rest = piece.partition(":")
        if colon:
            section, piece = head.strip(), rest  # noqa: PLW2901
        found = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*", piece)
        if section == "CPU" and found and found[2] != "0":
            features.append(found[1])
    return tuple(features)


def read_devices() -> tuple[GgmlDevice, ...]:
    """The devices of ggml's registry, with the memory that is free now; none where it cannot be read."""
    try:
        library = load_ggml()
        count = bind(library, "ggml_backend_dev_count", ctypes.c_size_t)
        get = bind(library, "ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
        return tuple(_read_device(library, get(index)) for index in range(count()))
    except (ImportError, OSError, AttributeError):
        return ()


def _read_backends() -> tuple[str, ...]:
    try:
        library = load_ggml()
        count = bind(library, "ggml_backend_reg_count", ctypes.c_size_t)
        get = bind(library, "ggml_backend_reg_get", ctypes.c_void_p, ctypes.c_size_t)
        name_of = bind(library, "ggml_backend_reg_name", ctypes.c_char_p, ctypes.c_void_p)
        names = [(name_of(get(index)) or b"").decode("utf-8", "replace") for index in range(count())]
    except (ImportError, OSError, AttributeError):
        return ()
    return tuple(_BACKEND_NAMES.get(name, name) for name in names)


def load_ggml() -> ctypes.CDLL:
    """The ggml library that llama-cpp-python brings.

    Raises:
        ImportError, OSError: there is none.
    """
    try:
        from llama_cpp._ggml import libggml
    except ImportError:  # it calls itself internal, so it may go: load the library that lies beside the package
        import llama_cpp

        folder = Path(llama_cpp.__file__).resolve().parent / "lib"
        return ctypes.CDLL(str(next(iter(sorted(folder.glob("libggml.[sd]*"))), folder / "ggml.dll")))
    loaded: ctypes.CDLL = libggml
    return loaded


def bind(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    """A C function of a library, by the types of its result and of its arguments.

    The library object's own, which llama_cpp shares, is not touched.
    """
    return ctypes.CFUNCTYPE(result, *arguments)((name, library))


def _read_device(library: ctypes.CDLL, device: int) -> GgmlDevice:
    def text(function: str, handle: int) -> str:
        value = bind(library, function, ctypes.c_char_p, ctypes.c_void_p)(handle)
        return value.decode("utf-8", "replace") if value else ""

    registry = bind(library, "ggml_backend_dev_backend_reg", ctypes.c_void_p, ctypes.c_void_p)(device)
    backend = text("ggml_backend_reg_name", registry)
    kind = bind(library, "ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)(device)
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    sizes = ctypes.POINTER(ctypes.c_size_t)
    read_memory = bind(library, "ggml_backend_dev_memory", None, ctypes.c_void_p, sizes, sizes)
    read_memory(device, ctypes.byref(free), ctypes.byref(total))
    return GgmlDevice(
        name=text("ggml_backend_dev_name", device),
        description=text("ggml_backend_dev_description", device),
        backend=_BACKEND_NAMES.get(backend, backend),
        type=_DEVICE_TYPES[kind] if 0 <= kind < len(_DEVICE_TYPES) else "other",
        memory_free=free.value,
        memory_total=total.value,
    )
