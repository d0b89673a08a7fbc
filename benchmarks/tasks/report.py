"""The report of a run of tasks: a table by language, what is over the languages, and why questions failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import fingerprint
from benchmarks.metrics.languages import AcrossLanguages, across
from benchmarks.output import deliver
from benchmarks.report import machine_line, page, table, to_json
from benchmarks.tasks.rows import script_of
from benchmarks.tasks.task import Figures, Task, shown


@dataclass(frozen=True)
class TaskReport:
    """`demotic eval TASK`. Of each language: its script, how many questions were asked and failed, and its figures."""

    benchmark: str
    measured: str
    model: str
    model_sha256: str | None
    url: str
    files: dict[str, str]
    settings: dict[str, Any]
    is_interrupted: bool
    languages: dict[str, dict[str, Any]]
    across_languages: dict[str, AcrossLanguages | None]
    more: dict[str, Any]
    errors: dict[str, int]
    machine: dict[str, object]


@dataclass(frozen=True)
class Origin:
    """What was asked of whom."""

    model: str
    model_sha256: str | None
    url: str
    files: dict[str, str]


def make_report(
    task: Task,
    figures: Figures,
    origin: Origin,
    answers: Mapping[str, Any],
    errors: Mapping[str, str],
    *,
    is_interrupted: bool,
) -> TaskReport:
    """The report of `answers`; `errors` has the reason of each question that failed."""
    asked = Counter(task.languages[key] for key in (*answers, *errors))
    failed = Counter(task.languages[key] for key in errors)
    return TaskReport(
        benchmark=f"eval {task.name}",
        measured=task.measured,
        model=origin.model,
        model_sha256=origin.model_sha256,
        url=origin.url,
        files=origin.files,
        settings=dict(task.settings),
        is_interrupted=is_interrupted,
        languages={
            language: {
                "script": script_of(language),
                "asked": asked[language],
                "failed": failed[language],
                **figures.by_language.get(language, {}),
            }
            for language in sorted(asked)
        },
        across_languages={
            column: across({name: values.get(column) for name, values in figures.by_language.items()})
            for column in figures.columns
        },
        more=dict(figures.more),
        errors=dict(Counter(errors.values()).most_common()),
        machine=fingerprint(),
    )


def to_markdown(report: TaskReport, figures: Figures) -> str:
    """A report as a Markdown page without headings."""
    asked = sum(row["asked"] for row in report.languages.values())
    rows = [
        (language, row["script"] or "–", str(row["asked"]), *(shown(row.get(name)) for name in figures.columns))
        for language, row in report.languages.items()
    ]
    parts = [
        f"{report.model} at {report.url}: {asked} questions in {len(report.languages)} languages, {report.benchmark}.",
        table(("language", "script", "asked", *figures.columns), [*rows, *_totals(report, figures)]),
        *(table(heads, rows) for heads, rows in figures.tables),
        *figures.notes,
        *(f"Failed: {count} × {error.rstrip('.')}." for error, count in report.errors.items()),
        report.measured,
        machine_line(report.machine),
    ]
    return page(parts, is_interrupted=report.is_interrupted)


def _totals(report: TaskReport, figures: Figures) -> list[tuple[str, ...]]:
    """The average, the least, the most and the gap, where there are languages to compare."""
    if len(figures.by_language) < 2:
        return []
    found = [report.across_languages[name] for name in figures.columns]
    lines = []
    for title in ("average", "min", "max", "gap"):
        values = [None if one is None else float(asdict(one)[title]) for one in found]
        lines.append((f"*{title}*", "", "", *map(shown, values)))
    return lines


def write_report(path: Path, report: TaskReport, figures: Figures) -> None:
    """Write a report to a file that is whole or not there: JSON where its name ends in .json, else Markdown.

    Raises:
        InvalidRequest: it cannot be written.
    """
    deliver(to_json(report) if path.suffix == ".json" else to_markdown(report, figures), path)
