"""The heat map of languages: one model's figures side by side, or what each model's answers cost."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from benchmarks import plots

# As many rows as a page has; more stand in two blocks.
_MOST_ROWS = 60
_RATE, _TIMES = "characters_per_second", "times_best"


def draw(report: Mapping[str, Any], path: Path, languages: Collection[str] = ()) -> None:
    """Draw a report, as its JSON has it, to an .svg or a .png; `languages` are the rows, all where none are named.

    Raises:
        InvalidRequest: the file cannot be written.
        ConfigurationInvalid: the extra `plot` is not installed.
    """
    models = [model for model in report["models"] if model["languages"]]
    costs = {model["name"]: {cost["language"]: cost for cost in model["languages"]} for model in models}
    rows = [cost for cost in models[0]["languages"] if not languages or cost["language"] in languages]
    if len(models) == 1:
        # Characters of two scripts say differently much, so only times are coloured.
        columns = [
            plots.Column("characters\nper token", "{:.2f}", None),
            plots.Column("prompt,\ncharacters/s", "{:,.0f}", None),
            plots.Column("answer,\ncharacters/s", "{:,.0f}", None),
            plots.Column("prompt time,\ntimes best", "{:.2f}"),
            plots.Column("answer time,\ntimes best", "{:.2f}"),
        ]
        values = [
            [
                cost["characters_per_token"],
                *(cost[part][key] for key in (_RATE, _TIMES) for part in ("prompt", "answer")),
            ]
            for cost in rows
        ]
    else:
        columns = [
            plots.Column(f"{textwrap.fill(name, 14)}\n{what}", form, is_good)
            for name in costs
            for what, form, is_good in (("characters/s", "{:,.0f}", None), ("times best", "{:.2f}", False))
        ]
        values = [
            [
                mine[cost["language"]]["answer"][key] if cost["language"] in mine else None
                for mine in costs.values()
                for key in (_RATE, _TIMES)
            ]
            for cost in rows
        ]
    title = "What the same text costs in each language: " + (
        "answers" if len(models) > 1 else f"{models[0]['name']}, {models[0]['settings']['threads']} threads"
    )
    names = [f"{cost['name']}  {cost['language']}" for cost in rows]
    blocks = 1 if len(rows) <= _MOST_ROWS else 2
    plots.heat_map(path, title, names, columns, values, blocks=blocks, note=_note(report))


def _note(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    return (
        f"{report['text']}. Light is cheap, dark is dear. Answer: the language's own text at the speed of generation.\n"
        f"{machine['cpu']}, {machine['usable_cpus']} usable CPUs; llama-cpp-python "
        f"{machine['versions']['llama-cpp-python']}; medians of {report['plan']['repetitions']}."
    )
