"""Figures by model, language and metric, kept in a file as they come, so that an interrupted run can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.digest import digest_of
from benchmarks.machine import fingerprint
from benchmarks.quality.metrics import MEASURED, Cell
from benchmarks.report import to_json
from runtime.card import ModelCard
from runtime.errors import InvalidRequest
from runtime.models.files import write_atomically

_BENCHMARK = "eval"


@dataclass(frozen=True)
class Artefact:
    """A model that was measured: `size` in bytes; the SHA-256 of its file, or of its files' together."""

    name: str
    file: str
    size: int
    sha256: str

    @classmethod
    def of(cls, card: ModelCard) -> Artefact:
        """That of a model; its file is read to its end."""
        digest, size = digest_of(card.file.path)
        return cls(card.name, card.file.path.name, size, digest)


@dataclass(frozen=True)
class Settings:
    """What figures depend on besides the model: whose differ cannot stand in one file.

    text: the name of the parallel text; text_sha256: of its lines in all languages. layers: those that MEXA and
    Language Ranker are means of; none for all. source: what models are held against.
    """

    text: str
    text_sha256: str
    layers: tuple[int, ...] = ()
    source: Artefact | None = None


@dataclass
class Results:
    """All figures of a run, or of several that went on with one file."""

    settings: Settings
    models: dict[str, Artefact]
    cells: dict[str, dict[str, dict[str, Cell]]] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def open(cls, path: Path | None, settings: Settings, models: Sequence[Artefact]) -> Results:
        """The results in a file, to go on with, or none yet.

        Raises:
            InvalidRequest: the file is no such one, or is of another model, text or setting.
        """
        results = cls(settings, {model.name: model for model in models}, path=path)
        if path is None or not path.exists():
            return results
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            is_ours = kept["benchmark"] == _BENCHMARK
            before, results.cells = kept["settings"] | {"models": kept["models"]}, kept["cells"]
        except (OSError, ValueError, LookupError, TypeError) as fault:
            raise InvalidRequest(f"{path} holds no results of demotic eval.", remedy=_OTHER) from fault
        document = results.as_dict()
        now = json.loads(json.dumps(document["settings"] | {"models": document["models"]}))
        if not is_ours or before != now:
            raise InvalidRequest(f"{path} holds other results: {_difference(before, now)}.", remedy=_OTHER)
        return results

    def has(self, model: str, language: str, metric: str) -> bool:
        """Whether there are these figures."""
        return metric in self.cells.get(model, {}).get(language, {})

    def put(self, model: str, language: str, metric: str, cell: Cell) -> None:
        """Add figures, and write the file anew where there is one."""
        self.cells.setdefault(model, {}).setdefault(language, {})[metric] = cell
        self.write()

    def cell(self, model: str, language: str, metric: str) -> Cell | None:
        """Figures, where there are any."""
        return self.cells.get(model, {}).get(language, {}).get(metric)

    def write(self) -> None:
        """Write the file, whole or not at all, where there is one."""
        if self.path is not None:
            write_atomically(self.path, to_json(self.as_dict()) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "benchmark": _BENCHMARK,
            "measured": dict(MEASURED),
            "settings": asdict(self.settings),
            "models": {name: asdict(model) for name, model in self.models.items()},
            "cells": self.cells,
            "machine": fingerprint(),
        }


_OTHER = "Name another file with --output."


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What two settings, with their models, do not have in common, in words."""
    told = []
    for name in dict.fromkeys([*before, *now]):
        one, other = before.get(name), now.get(name)
        if one != other:
            told.append(f"{name} {_brief(one)} and not {_brief(other)}")
    return "; ".join(told)


def _brief(value: Any) -> str:
    match value:
        case {"name": name, "sha256": sha256}:
            return f"{name} ({sha256[:12]})"
        case dict():
            return ", ".join(map(_brief, value.values())) or "none"
        case None | []:
            return "none"
        case str():
            return value[:80]
        case _:
            return str(value)
