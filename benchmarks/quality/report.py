"""From figures by language to tables, curves and heat maps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import plots
from benchmarks.machine import fingerprint
from benchmarks.quality.metrics import COLUMNS, MEASURED, PIVOT, Column, Metric
from benchmarks.quality.results import Results
from benchmarks.report import machine_line, page, table
from runtime.language.codes import english_name, parse

# The lines of a heat map that stand below one another; more are set side by side.
_MOST_LINES = 48
# Of several models the heat map has one figure by metric.
_HEADLINES = ("bits/byte", "change", "parity", "MEXA", "above chance, ‰")
_LONGEST_NAME = 20


def columns_of(results: Results, models: Iterable[str], languages: Iterable[str]) -> list[Column]:
    """The columns in which there is a figure of these."""
    pairs = [(model, language) for model in models for language in languages]
    return [
        column
        for column in COLUMNS
        if any(column.value(results.cell(*pair, column.metric)) is not None for pair in pairs)
    ]


def to_markdown(results: Results, languages: Sequence[str], *, is_interrupted: bool = False) -> str:
    """A page of Markdown: a table of each model, its curves by layer, and what the figures mean."""
    parts = [f"Text: {results.settings.text}."]
    shown: dict[Metric, None] = {}
    for name, model in results.models.items():
        source = results.settings.source
        against = "" if source is None else f", against {source.name} ({source.size / 1e6:,.1f} MB)"
        parts.append(f"**{name}** ({model.size / 1e6:,.1f} MB){against}:")
        columns = columns_of(results, [name], languages)
        shown |= dict.fromkeys(column.metric for column in columns)
        rows = [
            [language, *(column.text(results.cell(name, language, column.metric)) for column in columns)]
            for language in languages
            if language in results.cells.get(name, {})
        ]
        if len(rows) > 1:
            rows.append(["mean", *(_mean(results, name, languages, column) for column in columns)])
        parts.append(table(["language", *(column.name for column in columns)], rows))
        if curves := _curves(results, name, languages):
            parts += ["By layer, mean over the languages other than English:", curves]
    parts += [MEASURED[metric] for metric in shown]
    parts.append(machine_line(fingerprint()))
    return page(parts, is_interrupted=is_interrupted)


def _mean(results: Results, model: str, languages: Sequence[str], column: Column) -> str:
    found = [column.value(results.cell(model, language, column.metric)) for language in languages]
    known = [value for value in found if value is not None]
    return column.form.format(sum(known) / len(known)) if known else "–"


def _curves(results: Results, model: str, languages: Sequence[str]) -> str:
    """MEXA and cosines by layer: means over the languages; empty where there are none or but one layer."""
    of = [language for language in languages if language != PIVOT] or list(languages)
    series: dict[str, list[list[float]]] = {}
    for language in of:
        shares, cosines = (results.cell(model, language, metric) or {} for metric in ("mexa", "ranker"))
        for pooling in ("weighted", "last"):
            if pooling in shares:
                series.setdefault(f"MEXA, {pooling}", []).append(shares[pooling]["layers"])
        if cosines:
            series.setdefault("cosine", []).append(cosines["layers"])
            series.setdefault("cosine by chance", []).append(cosines["chance"])
    means = {name: np.mean(curves, axis=0) for name, curves in series.items()}
    num_layers = max((len(curve) for curve in means.values()), default=0)
    if num_layers < 2:
        return ""
    rows = [[str(layer), *(f"{curve[layer]:.3f}" for curve in means.values())] for layer in range(num_layers)]
    return table(["layer", *means], rows)


def to_csv(results: Results, languages: Sequence[str]) -> str:
    """A line for each model and language, with a head."""
    columns = columns_of(results, results.models, languages)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model", "language", *(column.name for column in columns)])
    for name in results.models:
        for language in languages:
            values = [column.value(results.cell(name, language, column.metric)) for column in columns]
            if any(value is not None for value in values):
                writer.writerow([name, language, *("" if value is None else f"{value:.6g}" for value in values)])
    return out.getvalue().rstrip("\n")


def plot(results: Results, languages: Sequence[str], path: Path) -> None:
    """A heat map, language by metric; of several models with the main figure of each metric, model by model.

    Raises:
        InvalidRequest: there is no figure yet, or the path is no name of a picture.
        ConfigurationInvalid: the extra `plot` is not installed.
    """
    models = list(results.models)
    shown = [
        (model, column)
        for column in columns_of(results, models, languages)
        if column.is_pictured and (len(models) == 1 or column.name in _HEADLINES)
        for model in models
    ]
    rows = {
        language: [
            # English is what the others are held against: its own figure is no news.
            None
            if language == PIVOT and column.metric in {"mexa", "ranker"}
            else column.value(results.cell(model, language, column.metric))
            for model, column in shown
        ]
        for language in languages
    }
    known = {_label(name): values for name, values in rows.items() if any(value is not None for value in values)}
    ordered = sorted(known, key=str.casefold)
    source = results.settings.source
    against = "" if source is None else f", against {source.name}"
    plots.heat_map(
        path,
        f"{' and '.join(models) if len(models) < 4 else f'{len(models)} models'}{against}: quality by language",
        ordered,
        [
            plots.Column(
                column.head if len(models) == 1 else f"{column.head}\n{model}",
                form=column.form,
                is_high_good=column.is_high_good,
            )
            for model, column in shown
        ],
        [known[label] for label in ordered],
        note=f"{results.settings.text}. The lighter a cell, the better the language fares in that column.",
        blocks=-(-len(ordered) // _MOST_LINES) or 1,
    )


def _label(language: str) -> str:
    """A language's name in English, with its script where it is mostly written in another.

    Its code where that name is long, or is taken for another language's: Dari is called Persian too.
    """
    found = parse(language)
    name = english_name(found)
    if len(name) > _LONGEST_NAME or str(found) != language:
        return language
    return name if parse(found.code) == found else f"{name} ({found.script})"
