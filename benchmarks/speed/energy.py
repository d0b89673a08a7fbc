"""Energy counters of the machine: RAPL of the processors, NVML of NVIDIA's cards.

RAPL: the kernel's Documentation/power/powercap/powercap.rst; `energy_uj` counts microjoules and begins again after
`max_energy_range_uj`. NVML: `nvmlDeviceGetTotalEnergyConsumption`, millijoules since the driver was loaded (Volta and
later). Both count all that the part does, not this process alone.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

POWERCAP = Path("/sys/class/powercap")
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")
# The package holds its cores; memory is counted apart; "psys" is the whole board, with the package in it.
_COUNTED = re.compile(r"package.*|dram")


@dataclass
class Counter:
    """One counter in joules that only rises."""

    name: str
    read: Callable[[], float]
    wraps_at: float = 0.0
    joules: float = 0.0
    _last: float | None = None

    def update(self) -> float:
        """Joules since the first update; at most one turn of the counter may lie between two."""
        now = self.read()
        if self._last is not None:
            risen = now - self._last
            self.joules += risen if risen >= 0 else risen + self.wraps_at
        self._last = now
        return self.joules


@dataclass(frozen=True)
class Energy:
    """The counters that can be read here, and why others cannot."""

    counters: tuple[Counter, ...]
    reasons: tuple[str, ...]

    @classmethod
    def here(cls, powercap: Path = POWERCAP, load: Callable[[str], Any] = importlib.import_module) -> Self:
        """Find what this machine has; nothing is raised."""
        found: list[Counter] = []
        reasons: list[str] = []
        for part in (_rapl(powercap), _nvml(load)):
            found += part if isinstance(part, list) else []
            reasons += [part] if isinstance(part, str) else []
        return cls(tuple(found), tuple(reasons))

    def read(self) -> dict[str, float]:
        """Joules of each counter since its first reading; one that fails is left out from then on."""
        joules = {}
        for counter in self.counters:
            try:
                joules[counter.name] = counter.update()
            except Exception:  # noqa: BLE001, S112  # NVML's errors are its module's own; the others are still good
                continue
        return joules


def _rapl(root: Path) -> list[Counter] | str:
    zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _ZONE.fullmatch(zone.name)]
    counters: list[Counter] = []
    for zone in zones:
        try:
            name = (zone / "name").read_text().strip()
            if not _COUNTED.fullmatch(name):
                continue
            _number(zone / "energy_uj")
            most = _number(zone / "max_energy_range_uj") / 1e6
        except PermissionError:
            return f"Energy of the processor is not told: {root}/*/energy_uj can be read by root only."
        except (OSError, ValueError) as fault:
            return f"Energy of the processor is not told: {fault}."
        counters.append(Counter(_unique(name, counters), partial(_joules, zone), most))
    return counters or f"Energy of the processor is not told: there is no RAPL zone in {root}."


def _unique(name: str, counters: list[Counter]) -> str:
    count = sum(other.name.split("#")[0] == name for other in counters)
    return f"{name}#{count + 1}" if count else name


def _joules(zone: Path) -> float:
    return _number(zone / "energy_uj") / 1e6


def _card_joules(nvml: Any, handle: Any) -> float:
    return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000


def _number(path: Path) -> int:
    return int(path.read_text())


def _nvml(load: Callable[[str], Any]) -> list[Counter] | str:
    try:
        nvml = load("pynvml")
    except ImportError:
        return "Energy of NVIDIA's cards is not told: nvidia-ml-py is not installed."
    counters = []
    try:
        nvml.nvmlInit()
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            counters.append(Counter(f"gpu {index}", partial(_card_joules, nvml, handle)))
    except Exception as fault:  # noqa: BLE001  # pynvml's errors are its own, one for each status
        return f"Energy of NVIDIA's cards is not told: {fault}."
    return counters or "Energy of NVIDIA's cards is not told: there is none."
