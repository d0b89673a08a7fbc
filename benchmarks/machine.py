"""What a result was measured on, so that nobody compares what is not the same."""

from __future__ import annotations

import importlib.metadata
import platform

from runtime.hardware.probe import probe


def fingerprint() -> dict[str, object]:
    """The machine and the versions that decide its figures; JSON values only."""
    machine = probe()
    return {
        "cpu": machine.cpu_name,
        "usable_cpus": machine.usable_cpus,
        "memory_bytes": machine.memory_total,
        "cpu_flags": sorted(machine.cpu_flags),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("demotic", "llama-cpp-python", "numpy")},
    }
