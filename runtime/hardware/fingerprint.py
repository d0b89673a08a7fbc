"""What a result was measured on, so that nobody compares what is not the same."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from contextlib import suppress

from runtime.hardware.probe import Machine, probe

_LIBRARIES = ("demotic", "llama-cpp-python", "numpy", "onnxruntime")


def fingerprint(machine: Machine | None = None) -> dict[str, object]:
    """The machine (None: this one) and the versions that decide its figures; JSON values only.

    `nvidia_cards` are those that the probe of the machine read; `devices` are what llama.cpp can give layers to.
    """
    machine = machine or probe()
    return {
        "cpu": machine.cpu_name,
        "usable_cpus": machine.usable_cpus,
        "memory_bytes": machine.memory_total,
        "cpu_flags": sorted(machine.cpu_flags),
        "build_features": sorted(machine.llama.cpu_features),
        "nvidia_cards": [
            {"name": card.name, "memory_bytes": card.memory_total, "driver": card.driver_version}
            for card in machine.nvidia_cards
        ],
        "devices": [
            {"name": device.description, "backend": device.backend, "memory_bytes": device.memory_total}
            for device in machine.llama.devices
            if device.type != "cpu"
        ],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": dict(_versions()),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)
