"""What a calibration says on a terminal: a table by language, and the pairs that disagree most."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from converters.calibration.report import LanguageShare, Report

_SHOWN_PAIRS = 5


def print_report(report: Report) -> None:
    """Print it on standard output."""
    console = Console()
    console.print(_languages(report))
    if report.pairs:
        console.print(_pairs(report))


def _languages(report: Report) -> Table:
    names = ("tokens", "share", "starved in", "most in", "disagrees")
    table = Table(Column("language", no_wrap=True), *names)
    for line in report.languages:
        table.add_row(
            line.language,
            str(line.num_tokens),
            f"{line.share:.1%}",
            f"{len(line.starved)} of {report.num_tensors}",
            _worst(line),
            f"{line.disagreement:.3f}",
        )
    return table


def _worst(line: LanguageShare) -> str:
    return f"{_short(line.starved[0].tensor)} {line.starved[0].share:.0%}" if line.starved else "-"


def _pairs(report: Report) -> Table:
    table = Table(Column("disagree most", no_wrap=True), "in all", "most in", "there")
    for pair in report.pairs[:_SHOWN_PAIRS]:
        worst = _short(pair.worst_tensor)
        table.add_row(" and ".join(pair.languages), f"{pair.disagreement:.3f}", worst, f"{pair.worst:.3f}")
    return table


def _short(tensor: str) -> str:
    return tensor.removesuffix(".weight")
