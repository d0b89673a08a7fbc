"""The evaluation card of a bundle: a file of figures by language, or what `demotic eval` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runtime.errors import InvalidRequest
from runtime.models.bundles import read_evaluation
from runtime.models.recipe import read_small


def write_evaluation(source: Path, target: Path) -> None:
    """Write the card that `source` makes to `target`: as it is, or the figures of the one model that was evaluated.

    Of a result of `demotic eval` the fractions are taken, as "metric.figure"; counts and curves by layer are not.

    Raises:
        ModelFileInvalid: there are no figures by language in it.
        InvalidRequest: it is of several models.
    """
    data = read_small(source)
    cells = _cells(data)
    if cells is None:
        target.write_bytes(data)
    elif len(cells) != 1:
        raise InvalidRequest(
            f"{source} has figures of {len(cells)} models: {', '.join(cells)}.",
            remedy="Evaluate the one that the bundle is of alone.",
            param="--card",
        )
    else:
        [languages] = cells.values()
        figures = {code: _figures(metrics) for code, metrics in languages.items()}
        target.write_text(json.dumps({"languages": figures}, indent=2) + "\n", encoding="utf-8")
    read_evaluation(target)


def _cells(data: bytes) -> dict[str, dict[str, dict[str, dict[str, Any]]]] | None:
    """What `demotic eval` found by model, language and metric; None where this is no result of it."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None  # what is wrong with it says whoever reads it as a card
    is_result = isinstance(found, dict) and found.get("benchmark") == "eval" and isinstance(found.get("cells"), dict)
    return found["cells"] if is_result else None


def _figures(metrics: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {
        f"{metric}.{name}": value
        for metric, figures in metrics.items()
        for name, value in figures.items()
        if isinstance(value, float)
    }
