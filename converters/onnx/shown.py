"""What an export says on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.onnx.parity import NUM_GREEDY


def parity_line(figures: Mapping[str, Any]) -> str:
    """The sentence of what a manifest keeps of the comparison."""
    known = {"rows", "max_difference", "greedy"}
    ways = ", ".join(name.replace("_", " ") for name in figures if name not in known)
    greedy = f", the same {NUM_GREEDY} greedy tokens in {figures['greedy']}" if "greedy" in figures else ""
    return (
        f"Over {figures['rows']} texts ({ways}): largest difference to the source "
        f"{figures['max_difference']:.2g}{greedy}."
    )
