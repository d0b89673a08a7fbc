"""How much others want the processors that this process computes on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_NANOSECONDS = 1e-9


@dataclass(frozen=True)
class CpuUse:
    """Sums since the process, and the machine, started; seconds.

    `waited`: time that this process's threads were ready to run and had no processor. `idle`: time that processors had
    nothing to run, added up over all of them.
    """

    waited: float
    idle: float


def read_cpu_use(root: Path = Path("/proc")) -> CpuUse | None:
    """Read both sums; None where the system does not tell them.

    Source: the kernel's Documentation/scheduler/sched-stats.rst (`schedstat`, second field) and proc(5) (`stat`).
    """
    try:
        waits = (path.read_text() for path in (root / "self" / "task").glob("*/schedstat"))
        waited = sum(int(line.split()[1]) for line in waits) * _NANOSECONDS
        with (root / "stat").open() as stat:
            idle = int(stat.readline().split()[4]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return CpuUse(waited, idle)
