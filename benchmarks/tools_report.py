"""From verdicts on calls to figures, and from figures to JSON and Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.machine import fingerprint
from benchmarks.report import machine_line, page, table, to_json
from benchmarks.tools_score import Summary, summarise

if TYPE_CHECKING:
    from benchmarks.tools import Result, ToolsRun

MEASURED = (
    "Each question greedily, with a few functions. Free: tool_choice auto; right answers without a call count, one "
    "that has begun no call in its first tokens is text, and a call that the limit of tokens cuts off is malformed. "
    "Required: tool_choice required; verdicts on the questions that want a call, soundness on all. Sound: the answer "
    "has a call, and all its calls are JSON, name a function that is there and fit its JSON schema, which a program "
    "judges that does not enforce it. Verdicts are those of TUCAN's evaluator; where a question wants several calls "
    "all of them must be there, in any order."
)


@dataclass(frozen=True)
class ModeFigures:
    """What came of one way to ask: `tried` answers had or began a call, and `sound` ones were flawless in form."""

    asked: int
    tried: int
    sound: int
    verdicts: Summary

    @classmethod
    def of(cls, results: Sequence[Result]) -> ModeFigures:
        """Figures of some results of one mode."""
        scored = [one for one in results if one.mode == "auto" or one.row.num_expected]
        return cls(
            asked=len(results),
            tried=sum(one.num_calls > 0 or one.is_malformed for one in results),
            sound=sum(one.is_sound for one in results),
            verdicts=summarise((one.row.scenario, one.verdict) for one in scored),
        )


@dataclass(frozen=True)
class ToolsReport:
    """`demotic bench tools`."""

    benchmark: str
    measured: str
    url: str
    model: str | None
    settings: dict[str, Any]
    is_interrupted: bool
    free: ModeFigures
    required: ModeFigures
    by_language: Mapping[str, Mapping[str, ModeFigures]]
    errors: dict[str, int]
    machine: dict[str, object]


def tools_report(run: ToolsRun) -> ToolsReport:
    """Figures of one run."""
    return ToolsReport(
        benchmark="tools",
        measured=MEASURED,
        url=run.endpoint.base_url,
        model=run.endpoint.model,
        settings=asdict(run.settings),
        is_interrupted=run.is_interrupted,
        free=_figures(run.results, "auto"),
        required=_figures(run.results, "required"),
        by_language={
            language: {
                "free": _figures(run.results, "auto", language),
                "required": _figures(run.results, "required", language),
            }
            for language in sorted({one.row.language for one in run.results})
        },
        errors=dict(Counter(one.error for one in run.results if one.error).most_common()),
        machine=fingerprint(),
    )


def _figures(results: Sequence[Result], mode: str, language: str | None = None) -> ModeFigures:
    return ModeFigures.of([one for one in results if one.mode == mode and language in {None, one.row.language}])


def to_markdown(report: ToolsReport) -> str:
    """A report as a Markdown page without headings."""
    rows = [_row(language, modes["free"], modes["required"]) for language, modes in report.by_language.items()]
    scenarios = [
        (
            scenario,
            _ratio(report.free.verdicts.by_scenario.get(scenario)),
            _ratio(report.required.verdicts.by_scenario.get(scenario)),
        )
        for scenario in sorted(report.free.verdicts.by_scenario)
    ]
    verdicts = sorted({*report.free.verdicts.errors, *report.required.verdicts.errors})
    parts = [
        f"{report.model} at {report.url}: {report.free.asked} questions in {len(report.by_language)} languages.",
        table(
            ("language", "free: calls tried", "sound", "right", "required: sound", "right"),
            [*rows, _row("all", report.free, report.required)],
        ),
        table(("scenario", "free: right", "required: right"), scenarios),
        table(
            ("verdict", "free", "required"),
            [
                ("CORRECT", str(report.free.verdicts.correct), str(report.required.verdicts.correct)),
                *(
                    (name, *(str(mode.verdicts.errors.get(name, 0)) for mode in (report.free, report.required)))
                    for name in verdicts
                ),
            ],
        ),
        *(f"Failed: {count} × {error.rstrip('.')}." for error, count in report.errors.items()),
        report.measured,
        machine_line(report.machine),
    ]
    return page(parts, is_interrupted=report.is_interrupted)


def _row(name: str, free: ModeFigures, required: ModeFigures) -> tuple[str, ...]:
    return (
        name,
        f"{free.tried} of {free.asked}",
        f"{free.sound} of {free.tried}",
        _ratio((free.verdicts.correct, free.verdicts.total)),
        f"{required.sound} of {required.asked}",
        _ratio((required.verdicts.correct, required.verdicts.total)),
    )


def _ratio(counts: tuple[int, int] | None) -> str:
    return "–" if counts is None else f"{counts[0]} of {counts[1]}"


def print_tools_report(report: ToolsReport, *, as_json: bool) -> None:
    """The report on standard output."""
    print(to_json(report) if as_json else to_markdown(report), flush=True)
