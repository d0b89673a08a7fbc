"""What a transplant's report says on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from converters.adapt.transplant.report import Report, change

_TOLD = {
    "special": "by their role", "exact": "by the same text", "case": "but for upper and lower case",
    "single": "as the one old token that they stand for",
}  # fmt: skip
# How many languages are shown that gain most, and that lose most.
_BEST, _WORST = 8, 4


def print_report(report: Report) -> None:
    """Print where rows are from, what languages gain, and what some new tokens are like, on standard output."""
    before, after = report.tokens
    print(f"{before:,} -> {after:,} tokens ({report.method}); {_rows(report)}.")  # noqa: T201
    sizes = "{:,} -> {:,}".format(*report.parameters)
    factors = f", two factors of rank {report.rank}" if report.rank else ""
    factors += f" that keep {report.kept:.2%}" if report.kept is not None else ""
    print(f"Parameters of the vocabulary: {sizes}{factors}.")  # noqa: T201
    _print_fertility(report)
    for each in report.likenesses:
        near = ", ".join(f"{name!r} {cosine:.2f}" for name, cosine in each.near)
        print(f"{each.token!r} ({each.kind}) is nearest to {near}")  # noqa: T201


def _rows(report: Report) -> str:
    counts = report.counts
    how = ", ".join(f"{counts[kind]:,} {told}" for kind, told in _TOLD.items() if kind in counts)
    parts = [f"{report.num_copied:,} rows are copied ({how})" if how else "no row is copied"]
    parts += [f"{counts['mixed']:,} are mixed of several"] if "mixed" in counts else []
    parts += [f"{counts['unknown']:,} are the unknown token's"] if "unknown" in counts else []
    parts += [f"{counts['drawn']:,} are drawn by chance"] if "drawn" in counts else []
    return ", ".join(parts)


def _print_fertility(report: Report) -> None:
    ratios = {name: change(pair) for name, pair in report.readings.items()}
    fewer, more = sum(each < 1 for each in ratios.values()), sum(each > 1 for each in ratios.values())
    print(f"The same text takes fewer tokens in {fewer} languages, and more in {more}:")  # noqa: T201
    numbers = (Column(name, justify="right") for name in ("tokens", "change", "fertility", "unknown"))
    table = Table("language", *numbers, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    names = list(ratios)
    for name in dict.fromkeys([*names[:_BEST], *names[-_WORST:]]):
        first, second = report.readings[name]
        table.add_row(
            name,
            f"{first.fertility.tokens}>{second.fertility.tokens}",
            f"{ratios[name] - 1:+.0%}",
            f"{first.fertility.value:.2f}>{second.fertility.value:.2f}",
            f"{first.unknown}>{second.unknown}" if first.unknown or second.unknown else "–",
        )
    Console(highlight=False).print(table)
