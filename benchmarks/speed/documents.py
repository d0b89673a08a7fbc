"""A report in the formats that programs read, and as a plot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from benchmarks.plots import Line, bars, lines
from benchmarks.report import csv_document, plain, to_json
from benchmarks.speed.figures import JobSpeed, ModelSpeed
from benchmarks.speed.report import SpeedReport, to_markdown

Format = Literal["md", "csv", "json", "jsonl"]
_FIGURES = ("tokens_per_second", "characters_per_second", "ttft_seconds")


def to_document(report: SpeedReport, form: Format) -> str:
    """The report in a format, without a last line's end."""
    match form:
        case "md":
            return to_markdown(report)
        case "json":
            return to_json(report)
        case "jsonl":
            return "\n".join(to_json(record, indent=None) for record in _records(report))
        case "csv":
            return csv_document([_row(report, model, job) for model in report.models for job in model.jobs])


def _records(report: SpeedReport) -> Iterator[dict[str, Any]]:
    """One for each job of each model, with all that it was measured on."""
    about = {
        name: getattr(report, name)
        for name in ("benchmark", "measured", "plan", "is_interrupted", "warnings", "machine")
    }
    for model in report.models:
        way = {name: value for name, value in plain(model).items() if name != "jobs"}
        for job in model.jobs:
            yield {**about, **way, "job": job}


def _row(report: SpeedReport, model: ModelSpeed, job: JobSpeed) -> dict[str, Any]:
    """Numbers and short texts alone; samples are in JSON."""
    row: dict[str, Any] = {
        **{name: getattr(model, name) for name in ("name", "model", "quantization", "sha256", "file_bytes")},
        **model.settings,
        **{name: getattr(job, name) for name in ("kind", "batch", "prompt_tokens", "output_tokens")},
    }
    for name in _FIGURES:
        figure = getattr(job, name)
        row |= {name: figure.median, f"{name}_low": figure.low, f"{name}_high": figure.high}
    row |= {f"itl_seconds_{name}": getattr(job.itl_seconds, name) for name in ("p50", "p90", "p99")}
    row |= {f"share_{name}": share for name, share in job.shares.items()}
    row |= {f"joules_per_token_{name}": figure.median for name, figure in job.joules_per_token.items()}
    row |= {"load_seconds": model.load_seconds.median, "memory_peak_bytes": model.memory_peak_bytes.median}
    row |= {"card_memory_peak_bytes": model.card_memory_peak_bytes.median}
    row |= {"repetitions": report.plan["repetitions"], "warnings": len(report.warnings)}
    row |= {name: report.machine[name] for name in ("cpu", "usable_cpus", "memory_bytes", "system", "python")}
    row |= {f"version_{name}": version for name, version in report.machine["versions"].items()}
    return {name: plain(value) for name, value in row.items()}


def plot(report: SpeedReport, path: Path) -> None:
    """Draw generation speed: over the batch sizes where there are several, else a bar for each model.

    Nothing is drawn where no answer was measured, as after an early Ctrl-C.

    Raises:
        InvalidRequest: the file cannot be written.
    """
    title, unit = "Generation speed", "tokens/s, all sequences together"
    note = f"{report.machine['cpu']}; medians of {report.plan['repetitions']}, with the least and the most"
    drawn = [
        (f"{model.name}, {length} tokens" if len(report.plan["output_tokens"]) > 1 else model.name, jobs)
        for model in report.models
        for length in report.plan["output_tokens"]
        if (jobs := [one for one in model.jobs if one.kind == "generation" and one.output_tokens == length])
    ]
    if not drawn:
        return
    if len(report.plan["batches"]) > 1:
        lines(path, title, "sequences at once", unit, [_line(name, jobs) for name, jobs in drawn], note=note)
    else:
        values = {name: {"tokens/s": jobs[0].tokens_per_second.median or 0.0} for name, jobs in drawn}
        bars(path, title, unit, values, note=note)


def _line(name: str, jobs: list[JobSpeed]) -> Line:
    figures = [job.tokens_per_second for job in jobs]
    return Line(
        name,
        [job.batch for job in jobs],
        [figure.median or 0.0 for figure in figures],
        [figure.low or 0.0 for figure in figures],
        [figure.high or 0.0 for figure in figures],
    )
