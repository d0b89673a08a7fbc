"""What all reports are made of: percentiles, spreads, JSON, Markdown tables, and the line on the machine.

Every report says in `measured` what its figures mean, and in `machine` where they were taken.
"""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Percentiles:
    """Of a number of values; all None where there are none."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles:
        """Percentiles of values in any order."""
        ordered = sorted(values)
        if not ordered:
            return cls(None, None, None, None, 0)
        p50, p95, p99 = (percentile(ordered, share) for share in (0.5, 0.95, 0.99))
        return cls(p50, p95, p99, ordered[-1], len(ordered))


@dataclass(frozen=True)
class Spread:
    """The median of some repetitions, and the least and the most; all None where there are none."""

    median: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Spread of values in any order."""
        return cls(statistics.median(values), min(values), max(values)) if values else cls(None, None, None)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the sorted values lie, interpolated between two neighbours."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def to_json(report: Any, *, indent: int | None = 2) -> str:
    """A report, or what holds reports, as one JSON document; numbers have six digits that count."""
    return json.dumps(plain(report), ensure_ascii=False, indent=indent)


def plain(value: Any) -> Any:
    """A report, or a part of one, as JSON values."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else value


def csv_document(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV below the names of all their values, without a last line's end."""
    written = io.StringIO()
    writer = csv.DictWriter(written, dict.fromkeys(head for row in rows for head in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().rstrip("\n")


def page(parts: list[str], *, is_interrupted: bool) -> str:
    """The parts of a report, one below the other."""
    return "\n\n".join([*(["Stopped by Ctrl-C: what was measured until then."] if is_interrupted else []), *parts])


def machine_line(machine: dict[str, Any]) -> str:
    """One sentence on where figures were taken."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    memory = f"{machine['memory_bytes'] / 2**30:.1f} GiB"
    return (
        f"Machine: {machine['cpu']}, {machine['usable_cpus']} usable CPUs, {memory}; {machine['system']}; "
        f"Python {machine['python']}, {versions}."
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])


def shown(spread: Spread, form: str) -> str:
    """The median, with the least and the most where they differ."""
    if spread.median is None or spread.low is None or spread.high is None:
        return "–"
    median, low, high = (format(value, form) for value in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"
