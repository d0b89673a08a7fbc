"""What became of a merge, on a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from converters.manifest import Manifest
from converters.shown import parity_line


def print_merged(path: Path, manifest: Manifest) -> None:
    """Print losses, figures and the path on standard output, notes on standard error."""
    for note in manifest.notes:
        print(f"Note: {note}", file=sys.stderr)  # noqa: T201
    facts = manifest.merge or {}
    if tensors := facts.get("tensors"):
        _print_losses(tensors)
    if proof := facts.get("proof"):
        print(_proof_line(proof))  # noqa: T201
    elif tensors:
        print("Not compared: --no-verify was given.")  # noqa: T201
    if manifest.parity is not None:
        print(parity_line(manifest.parity))  # noqa: T201
    print(f"{path} ({manifest.size / 1e6:,.1f} MB, {manifest.type})")  # noqa: T201


def _print_losses(tensors: Sequence[Mapping[str, Any]]) -> None:
    """A line for the same matrix of all blocks in one type; the manifest has each of them."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for tensor in tensors:
        groups.setdefault((re.sub(r"\.\d+\.", ".*.", tensor["name"]), tensor["type"]), []).append(tensor)
    numbers = (Column(name, justify="right") for name in ("number", "change", "error", "worst", "own error"))
    table = Table("tensor", "type", *numbers, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for (name, kind), group in groups.items():
        change, error, own = (sum(each[key] for each in group) / len(group) for key in ("change", "error", "own"))
        worst = max(each["error"] for each in group)
        table.add_row(name, kind, str(len(group)), *(f"{share:.2%}" for share in (change, error, worst, own)))
    print(f"{len(tensors)} tensors are quantized anew; of the size of their values:")  # noqa: T201
    Console(highlight=False).print(table)


def _proof_line(proof: Mapping[str, Any]) -> str:
    return (
        f"Compared at {proof['num_tokens']:,} positions in {proof['num_lines']} languages with the base and its "
        f"adapters: a KL divergence of {proof['mean_kl']:.2e} on average ({proof['base_mean_kl']:.2e} without them), "
        f"the same likeliest token at {proof['top_1']:.1%} ({proof['base_top_1']:.1%} without them)."
    )
