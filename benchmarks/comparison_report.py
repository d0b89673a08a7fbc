"""A comparison as JSON and as a Markdown page: medians of the ratios, and what makes them doubtful."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.comparison import Comparison, Turn, short
from benchmarks.digest import digest_of
from benchmarks.load_report import LoadReport
from benchmarks.machine import fingerprint
from benchmarks.report import machine_line, table
from benchmarks.scenarios import Figure, Scenario
from benchmarks.servers import Side

KERNEL_SETTINGS = ("OMP_", "GOMP_", "GGML_", "KMP_")  # environment variables that both servers inherit


def to_result(comparison: Comparison, *, benchmark: str, repeat: str) -> dict[str, Any]:
    """All figures, their ratios in every alternation, and the medians of these; JSON values only.

    The first of the programs is compared with each of the others. `repeat` is the command that does it again.
    """
    setup, turns = comparison.setup, comparison.turns
    ours, *others = setup.sides
    digest, size = digest_of(setup.file)
    scale = "" if setup.scale == 1 else f" Lengths and counts are {setup.scale:g} times what the names say."
    return {
        "benchmark": benchmark,
        "repeat": repeat,
        "measured": (
            f"Ratios {ours} / {' or '.join(others)}, medians of {comparison.alternations} alternations, one server at "
            "a time, "
            f"{setup.threads} threads, {setup.context} tokens of context a request.{scale} Greedy; what the load "
            "generator takes is taken from the same processors on all sides. Throughput counts every output token "
            "over all seconds; TTFT and ITL are times between pieces of text where they arrive. CPU time: of all "
            "processes of the server over these seconds, prompts and waiting by spinning with it."
        ),
        "is_interrupted": comparison.is_interrupted,
        "fault": comparison.fault,
        "model": setup.model,
        "file": setup.file.name,
        "sha256": digest,
        "file_bytes": size,
        "commands": {side: setup.shown(side) for side in setup.sides},
        "versions": {side: setup.programs[side].version() for side in others},
        "environment": {name: value for name, value in os.environ.items() if name.startswith(KERNEL_SETTINGS)},
        "load_average_before": comparison.load_average,
        "notes": [note for turn in turns for note in _notes(turn)],
        "rows": [
            _row(figure, scenario, turns, (ours, other))
            for other in others
            for scenario in comparison.scenarios
            for figure in scenario.figures
        ],
        "reports": [_report(turn) for turn in turns],
        "machine": fingerprint(),
    }


def _notes(turn: Turn) -> Iterator[str]:
    """What makes a figure doubtful."""
    report = turn.measured.report
    place = f"{turn.side}, alternation {turn.alternation + 1}, {turn.scenario.name}"
    for error, count in report.errors.items():
        yield f"{place}: {count} requests failed: {error}"
    if "stop" in report.finish_reasons:
        yield f"{place}: answers ended by themselves: {report.finish_reasons}"
    if (long := report.long_prompt) and long.status != "finished":
        yield f"{place}: the long prompt {long.status}: {long.error}"
    if long and long.num_streams_throughout < turn.scenario.workload.clients:
        yield f"{place}: only {long.num_streams_throughout} streams ran until the long prompt was read"


def _row(figure: Figure, scenario: Scenario, turns: Sequence[Turn], sides: tuple[Side, Side]) -> dict[str, Any]:
    values: dict[Side, dict[int, float]] = {side: {} for side in sides}
    failed = dict.fromkeys(sides, 0)
    for turn in turns:
        if turn.scenario is scenario and turn.side in sides:
            failed[turn.side] += turn.measured.report.requests["failed"]
            if (value := figure.read(turn.measured)) is not None:
                values[turn.side][turn.alternation] = value
    ours, theirs = (values[side] for side in sides)
    ratios = [ours[each] / theirs[each] for each in sorted(ours.keys() & theirs.keys()) if theirs[each]]
    ratio = statistics.median(ratios) if ratios else None
    return {
        "against": sides[1],
        "scenario": scenario.name,
        "figure": figure.name,
        "unit": figure.unit,
        "more_is_better": figure.more_is_better,
        "wanted": figure.wanted,
        "ratio": ratio,
        "is_met": _is_met(figure, ratio),
        "ratios": ratios,
        **{
            side: {
                "median": statistics.median(values[side].values()) if values[side] else None,
                "all": list(values[side].values()),
                "failed_requests": failed[side],
            }
            for side in sides
        },
    }


def _is_met(figure: Figure, ratio: float | None) -> bool | None:
    if ratio is None or figure.wanted is None:
        return None
    return ratio >= figure.wanted if figure.more_is_better else ratio <= figure.wanted


def _report(turn: Turn) -> dict[str, Any]:
    """What one turn gave, without what all of a comparison have in common."""
    return {
        "alternation": turn.alternation,
        "side": turn.side,
        "scenario": turn.scenario.name,
        "cpu_seconds": {"server": turn.measured.server_cpu_seconds, "client": turn.measured.client_cpu_seconds},
        **_slim(turn.measured.report),
    }


def _slim(report: LoadReport) -> dict[str, Any]:
    return {
        name: value for name, value in vars(report).items() if name not in {"benchmark", "measured", "machine", "url"}
    }


def to_page(result: dict[str, Any]) -> str:
    """The comparison as Markdown, with a table for each program that was compared with."""
    settings = ", ".join(f"`{name}={value}`" for name, value in result["environment"].items())
    around = f"Set for all: {settings or 'nothing'}. Load average before: {result['load_average_before']:.2f}."
    versions = " ".join(f"{name}: {version}." for name, version in result["versions"].items())
    parts = [
        *(["Stopped by Ctrl-C: what was measured until then."] if result["is_interrupted"] else []),
        *([f"Ended early: {result['fault']}"] if result["fault"] else []),
        *(_table_against(result, other) for other in result["versions"]),
        *result["notes"],
        f"{result['model']} ({result['file']}). {result['measured']}",
        "\n".join(f"- `{command}`" for command in result["commands"].values()),
        f"{around} {versions} {machine_line(result['machine'])}",
        f"To repeat it, while nothing else runs: `{result['repeat']}`",
    ]
    return "\n\n".join(parts)


def _table_against(result: dict[str, Any], other: Side) -> str:
    ours = next(iter(result["commands"]))
    rows = [
        (
            row["scenario"],
            f"{row['figure']}, {row['unit']}",
            *(short(row[side]["median"]) for side in (ours, other)),
            short(row["ratio"]),
            _wanted(row),
            {True: "yes", False: "no", None: "–"}[row["is_met"]],
        )
        for row in result["rows"]
        if row["against"] == other
    ]
    return table(("scenario", "figure", ours, other, "ratio", "wanted", "met"), rows)


def _wanted(row: dict[str, Any]) -> str:
    if row["wanted"] is None:
        return "–"
    return f"{'at least' if row['more_is_better'] else 'at most'} {short(row['wanted'])}"
