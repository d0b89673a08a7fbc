"""The results files, and how their figures are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "results"


@cache
def result(name: str) -> Any:
    """The JSON of `results/NAME.json`."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def number(value: float) -> str:
    """Three digits that count, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def between(values: list[float], form: str = "{:.2f}") -> str:
    """The least and the most of some values, or the one that all of them are."""
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


def link(name: str, suffix: str = "json") -> str:
    """A link to a results file, from the folder of the README."""
    return f"[`{name}.{suffix}`](benchmarks/results/{name}.{suffix})"


def told(machine: Mapping[str, Any]) -> str:
    """Where a result was measured, in half a sentence."""
    return (
        f"{machine['usable_cpus']} CPUs of an {machine['cpu']} with {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{machine['system'].split('-')[0]}, Python {machine['python']}, "
        f"llama-cpp-python {machine['versions']['llama-cpp-python']}"
    )
