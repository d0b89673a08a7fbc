"""What a result was measured on, so that nobody compares what is not the same."""

from __future__ import annotations

import importlib.metadata
import platform

from runtime.hardware.probe import Machine, probe


def fingerprint(machine: Machine | None = None) -> dict[str, object]:
    """The machine (None: this one) and the versions that decide its figures; JSON values only."""
    machine = machine or probe()
    return {
        "cpu": machine.cpu_name,
        "usable_cpus": machine.usable_cpus,
        "memory_bytes": machine.memory_total,
        "cpu_flags": sorted(machine.cpu_flags),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("demotic", "llama-cpp-python", "numpy")},
    }
