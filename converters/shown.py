"""What comparisons and counts say on a terminal: tables by language, and a sentence over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.table import Column, Table

from converters.fertility import as_cells
from converters.verify import NUM_GREEDY, Report
from converters.verify_vectors import VectorReport

# All columns fit 80.
_NARROW: dict[str, Any] = {"box": None, "pad_edge": False}


def print_report(report: Report | VectorReport) -> None:
    """Print both on standard output."""
    Console().print(_text_table(report) if isinstance(report, Report) else _vector_table(report))
    print(parity_line(report.summary()))  # noqa: T201


def parity_line(figures: Mapping[str, Any]) -> str:
    """The sentence of a report's summary, or of what a manifest keeps of it."""
    begun = (
        f"Over {figures['tokens']} tokens in {figures['languages']} languages: the same ids in {figures['same_ids']}, "
    )
    if "min_cosine" in figures:
        return (
            f"{begun}largest difference of numbers {figures['max_difference']:.2g}, smallest cosine "
            f"{figures['min_cosine']:.6f}."
        )
    return (
        f"{begun}largest difference of logits {figures['max_difference']:.2g}, mean KL {figures['mean_kl']:.2g}, the "
        f"same likeliest token at {figures['top_1']:.1%}, {figures['bits_per_byte'][0]:.3f} -> "
        f"{figures['bits_per_byte'][1]:.3f} bits per byte, the same greedy text in {figures['same_greedy']}."
    )


def print_fertility(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what a manifest keeps of a tokenizer's fertility, several languages a line."""
    print(  # noqa: T201
        "Tokens by word (c: by character), and by those of English, for the same sentences in "
        f"{len(figures)} languages:"
    )
    Console(highlight=False).print(Columns(as_cells(figures), equal=True, column_first=True))


def _text_table(report: Report) -> Table:
    names = ("tokens", "ids", "max diff", "mean KL", "max KL", "top 1", "bits/byte", "greedy")
    table = Table("language", *(Column(name, justify="right") for name in names), **_NARROW)
    for line in report.lines:
        table.add_row(
            line.language,
            str(line.num_tokens),
            _ids(has_same=line.has_same_ids),
            f"{line.max_difference:.2g}",
            f"{line.mean_kl:.2g}",
            f"{line.max_kl:.2g}",
            f"{line.top_1:.1%}",
            "{:.2f} > {:.2f}".format(*line.bits_per_byte),
            f"{line.num_greedy}/{NUM_GREEDY}",
        )
    return table


def _vector_table(report: VectorReport) -> Table:
    names = ("tokens", "ids", "max diff", "cosine")
    table = Table("language", *(Column(name, justify="right") for name in names), **_NARROW)
    for line in report.lines:
        ids = _ids(has_same=line.has_same_ids)
        table.add_row(line.language, str(line.num_tokens), ids, f"{line.max_difference:.2g}", f"{line.cosine:.6f}")
    return table


def _ids(*, has_same: bool) -> str:
    return "same" if has_same else "differ"
