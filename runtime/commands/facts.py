"""What the commands tell of a model that needs no look into its file."""

from __future__ import annotations

import json
from collections.abc import Mapping

from runtime.models.catalog import CatalogEntry
from runtime.models.store import ModelFile


def entry_facts(entry: CatalogEntry) -> dict[str, object]:
    """What the catalogue says."""
    return {
        "name": entry.name,
        "title": entry.title,
        "path": None,
        "source": origin_of(entry),
        "license": entry.license,
        "license_url": entry.license_url,
        "languages": list(entry.languages),
        "architecture": entry.architecture,
        "parameters": entry.parameters,
        "size_bytes": entry.size,
        "task": entry.task,
        "gated": entry.gated,
        "notes": entry.notes,
    }


def summary(model: ModelFile) -> dict[str, object]:
    """Facts that need no look into the file."""
    known: Mapping[str, object] = entry_facts(model.entry) if model.entry is not None else {"title": model.path.stem}
    if model.bundle is not None:
        known = {**known, "title": model.bundle.recipe.description or model.name, "gated": False}
    return {
        **known,
        "name": model.name,
        "path": str(model.path),
        "source": model.source,
        "license": model.license,
        "languages": list(model.languages),
        "size_bytes": bytes_of(model),
    }


def bytes_of(model: ModelFile) -> int | None:
    """The size of its file, of a bundle what it takes beside its base; None where that is not known."""
    if model.bundle is not None:
        return model.bundle.size_bytes
    if model.path.is_file():
        return model.path.stat().st_size
    return model.entry.size if model.entry is not None else None  # a starter that is not assembled yet


def origin_of(entry: CatalogEntry) -> str:
    """Where it comes from, as people write it."""
    return f"hf:{entry.repo}" if entry.repo is not None else f"pip:{entry.package}"


def license_line(name: str, entry: CatalogEntry | None) -> str:
    """The licence, and where to read it."""
    return f"{name} ({entry.license_url})" if entry is not None else name


def sized(num_bytes: object) -> str:
    """A size for people."""
    if not isinstance(num_bytes, int):
        return "size not known"
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def fit_word(fit: object) -> str:
    """Whether a model fits this machine (`Fit` as a dictionary), in a word or two."""
    match fit:
        case {"fits": True, "is_estimate": is_estimate}:
            return "probably" if is_estimate else "yes"
        case {"fits": False, "is_estimate": is_estimate}:
            return "probably not" if is_estimate else "no"
    return "not known"


def say(text: str) -> None:
    """A line on standard output."""
    print(text)  # noqa: T201


def print_json(document: Mapping[str, object]) -> None:
    """One JSON document on standard output."""
    print(json.dumps(document, ensure_ascii=False, indent=2))  # noqa: T201
