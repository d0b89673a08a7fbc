"""The report of `demotic bench --languages`: a row a language, as figures and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.languages.cost import LanguageCost, Rates, costs_of
from benchmarks.languages.measure import LanguagePlan, Measured
from benchmarks.machine import fingerprint
from benchmarks.parallel import ParallelText
from benchmarks.report import Spread, csv_document, machine_line, page, plain, shown, table, to_json
from benchmarks.speed.documents import Format
from benchmarks.speed.way import Way, way_of
from runtime.hardware.probe import Machine

MEASURED = (
    "The same text in each language. Prompt: from handing over the text to the first token after it, with tokenization "
    "and sampling. Answer: the tokens of the language's own text, each at the model's speed of generation (tokens "
    "after the first over the seconds after the first, with sampling), so that it does not matter what a model would "
    "make up. Characters are code points, graphemes what people count as characters (UAX #29), bytes those of UTF-8; "
    "characters per token without the tokens that begin and end texts. Times the best: seconds for the same meaning "
    "over those of the language that takes the fewest; for answers this is the ratio of tokens too."
)


@dataclass(frozen=True)
class ModelLanguages(Way):
    """What languages cost one way to run a model.

    passages: in how many parts the text was read, the same in each language.
    left_out: languages with a line that is too long for the model, and the tokens of the longest.
    """

    passages: int
    generation_tokens_per_second: Spread
    languages: tuple[LanguageCost, ...]
    left_out: dict[str, int]


@dataclass(frozen=True)
class LanguagesReport:
    """`demotic bench --languages`; `text` names what was read, `warnings` say what makes figures doubtful."""

    benchmark: str
    measured: str
    text: str
    plan: dict[str, Any]
    is_interrupted: bool
    warnings: tuple[str, ...]
    models: tuple[ModelLanguages, ...]
    machine: dict[str, Any]


def languages_report(
    measured: Sequence[Measured],
    text: ParallelText,
    plan: LanguagePlan,
    machine: Machine,
    warnings: Sequence[str],
    *,
    is_interrupted: bool,
) -> LanguagesReport:
    """The report on some models; their files are read through once for their SHA-256."""
    models = tuple(_model(one) for one in measured)
    return LanguagesReport(
        *("languages", MEASURED, text.name, asdict(plan), is_interrupted, tuple(warnings), models),
        fingerprint(machine),
    )


def _model(one: Measured) -> ModelLanguages:
    return ModelLanguages(
        **vars(way_of(one.variant, one.used)),
        passages=len(next(iter(one.work.passages.values()))),
        generation_tokens_per_second=Spread.of(one.writing),
        languages=costs_of(one.work.sizes, one.reading, one.writing),
        left_out=dict(one.work.left_out),
    )


def to_document(report: LanguagesReport, form: Format) -> str:
    """The report in a format, without a last line's end."""
    match form:
        case "md":
            return _to_markdown(report)
        case "json":
            return to_json(report)
        case "jsonl":
            return "\n".join(to_json(record, indent=None) for record in _records(report))
        case "csv":
            return csv_document([_row(model, cost) for model in report.models for cost in model.languages])


def _records(report: LanguagesReport) -> Iterator[dict[str, Any]]:
    """One for each language of each model, with all that it was measured on."""
    about = {name: value for name, value in plain(report).items() if name != "models"}
    for model in report.models:
        way = {name: value for name, value in plain(model).items() if name != "languages"}
        for cost in model.languages:
            yield {**about, **way, "language": cost}


def _row(model: ModelLanguages, cost: LanguageCost) -> dict[str, Any]:
    row = {name: getattr(model, name) for name in ("name", "model", "quantization", "sha256")} | model.settings
    row |= {name: value for name, value in plain(cost).items() if name not in {"prompt", "answer", "name"}}
    row["language_name"] = cost.name
    for part, rates in (("prompt", cost.prompt), ("answer", cost.answer)):
        figures = plain(rates)
        row |= {f"{part}_{name}": value for name, value in figures.items() if name != "seconds"}
        row |= {f"{part}_seconds_{name}": value for name, value in figures["seconds"].items()}
    return row


_HEADS = (
    *("language", "tokens", "characters/token", "prompt characters/s", "graphemes/s", "bytes/s", "times the best"),
    *("answer characters/s", "graphemes/s", "bytes/s", "times the best"),
)


def _to_markdown(report: LanguagesReport) -> str:
    parts = []
    for model in report.models:
        speed = shown(model.generation_tokens_per_second, ".1f")
        parts.append(
            f"{model.name}: {report.text}, read in {model.passages} part{'s' if model.passages > 1 else ''}; "
            f"{model.settings['threads']} threads; generation {speed} tokens/s."
        )
        parts.append(table(_HEADS, [_cells(cost) for cost in model.languages]))
        if model.left_out:
            told = ", ".join(f"{name} ({tokens:,} tokens)" for name, tokens in model.left_out.items())
            parts.append(f"Left out, since a line is too long for the model's context: {told}.")
    if report.warnings:
        parts.append("\n".join(f"- Warning: {line}" for line in report.warnings))
    closing = f"Medians of {report.plan['repetitions']}. {report.measured}"
    return page([*parts, closing, machine_line(report.machine)], is_interrupted=report.is_interrupted)


def _cells(cost: LanguageCost) -> tuple[str, ...]:
    rates = [cell for part in (cost.prompt, cost.answer) for cell in _rates(part)]
    return (f"{cost.name} `{cost.language}`", f"{cost.tokens:,}", f"{cost.characters_per_token:.2f}", *rates)


def _rates(rates: Rates) -> tuple[str, ...]:
    speeds = (rates.characters_per_second, rates.graphemes_per_second, rates.bytes_per_second)
    times = "–" if rates.times_best is None else f"{rates.times_best:.2f}"
    return (*("–" if speed is None else f"{speed:,.0f}" for speed in speeds), times)
