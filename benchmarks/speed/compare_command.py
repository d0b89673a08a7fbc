"""`demotic bench compare`: results read, compared with the first one, and shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import table, to_json
from benchmarks.speed.compare import LEVEL, Comparison, compare, work_name
from benchmarks.speed.saved import read_result
from runtime.errors import InvalidRequest

_NAMES = {
    "tokens_per_second": "tokens/s",
    "ttft_seconds": "TTFT, s",
    "itl_seconds": "ITL, s",
    "load_seconds": "loading, s",
    "memory_peak_bytes": "memory, bytes",
}


def run_compare(paths: Sequence[Path], *, as_json: bool) -> int:
    """Print the comparison of each result with the first.

    Raises:
        InvalidRequest: fewer than two, or they cannot be compared.
    """
    if len(paths) < 2:
        raise InvalidRequest(
            "There is one result only.", remedy="Give two or more: demotic bench compare A.json B.json"
        )
    names = _names(paths)
    results = [read_result(path) for path in paths]
    found = [compare(results[0], other, (names[0], name)) for other, name in zip(results[1:], names[1:], strict=True)]
    print(to_json({"benchmark": "compare", "level": LEVEL, "comparisons": found}) if as_json else to_page(found))
    return 0


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' names, or their whole paths where two files have the same name."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def to_page(comparisons: Sequence[Comparison]) -> str:
    """Comparisons as Markdown."""
    return "\n\n".join(part for one in comparisons for part in _parts(one))


def _parts(one: Comparison) -> list[str]:
    rows = [
        (
            each.model,
            "–" if each.work is None else work_name(each.work),
            _NAMES[each.figure],
            *(f"{value:.4g}" for value in (each.base, each.other)),
            f"{each.ratio:.3g}",
            "–" if each.interval is None else f"{each.interval[0]:.3g} to {each.interval[1]:.3g}",
            each.verdict,
        )
        for each in one.ratios
    ]
    heads = ("model", "work", "figure", one.base, one.other, "ratio", f"{LEVEL:.0%} interval", f"{one.other} is")
    differences = [(each.where, each.name, _shown(each.base), _shown(each.other)) for each in one.differences]
    return [
        table(heads, rows),
        table(("what differs", "", one.base, one.other), differences) if differences else "Nothing else differs.",
        *one.unmatched,
        f"Ratios of medians, {one.other} over {one.base}; intervals by resampling the repetitions (bootstrap).",
    ]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value)
