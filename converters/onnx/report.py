"""How the report of a smaller artefact is shown: a table by language and a sentence, on a terminal or as a page."""

from __future__ import annotations

from rich.console import Console
from rich.table import Column, Table

from converters.onnx.computed import NUM_GREEDY
from converters.onnx.difference import Line, Report


def print_report(report: Report) -> None:
    """Print the table on standard output."""
    first, *others = columns_of(report.measure).values()
    table = Table(Column(first), *(Column(name, justify="right") for name in others), box=None, pad_edge=False)
    for line in report.lines:
        table.add_row(*cells_of(line, report.measure))
    Console(highlight=False).print(table)


def columns_of(measure: str) -> dict[str, str]:
    """The heads of a report's table, by the entry of a line."""
    names = {"language": "language", "num_tokens": "tokens", "before": "before ms", "after": "after ms"}
    names["kept"] = measure.replace("_", " ")
    names["max_difference"] = "max diff"
    if measure == "top_1":
        names |= {"mean_kl": "mean KL", "num_greedy": "greedy"}
    return names


def cells_of(line: Line, measure: str) -> list[str]:
    """A line of the table as text."""
    cells = {
        "language": line.language,
        "num_tokens": str(line.num_tokens),
        "before": f"{line.milliseconds[0]:.1f}",
        "after": f"{line.milliseconds[1]:.1f}",
        "kept": f"{line.kept:.1%}" if measure == "top_1" else f"{line.kept:.5f}",
        "max_difference": f"{line.max_difference:.2g}",
        "mean_kl": f"{line.mean_kl or 0:.2g}",
        "num_greedy": f"{line.num_greedy}/{NUM_GREEDY}",
    }
    return [cells[name] for name in columns_of(measure)]


def as_markdown(report: Report, title: str) -> str:
    """The report as a page."""
    columns = list(columns_of(report.measure).values())
    rows = [
        columns,
        ["---", *["---:"] * (len(columns) - 1)],
        *(cells_of(line, report.measure) for line in report.lines),
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"# {title}\n\n{sentence(report)}\n\n{table}\n"


def sentence(report: Report) -> str:
    """The report in a sentence."""
    before, after = report.num_bytes
    names = {"cosine": "cosine", "score": "score kept", "top_1": "share of places with the same likeliest token"}
    return (
        f"Graphs {before / 1e6:,.1f} MB -> {after / 1e6:,.1f} MB, {report.speedup:.2f} times as fast here; over "
        f"{len(report.lines)} languages the lowest {names[report.measure]} is {report.worst.kept:.4f} "
        f"({report.worst.language})."
    )
