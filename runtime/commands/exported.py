"""What the manifest and the settings in a folder of ONNX graphs say of it; `converters/onnx/export.py` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_MAX_BYTES = 2**20


def exported_facts(folder: Path) -> dict[str, Any] | None:
    """The facts that `demotic show` tells; None where this is no such folder."""
    made, settings = _read(folder / "manifest.json"), _read(folder / "demotic.json")
    if "made_from" not in made or "task" not in settings:
        return None
    kept = ("made_from", "revision", "made_at", "license", "notes")
    return {
        "name": folder.resolve().name,
        "path": str(folder),
        **{key: made.get(key) or None for key in kept},
        "languages": list(made.get("languages") or ()),
        "architecture": settings.get("architecture"),
        "kind": settings.get("shape"),
        "task": settings["task"],
        "quantization": made.get("type"),
        "size_bytes": made.get("size"),
        "context_length": settings.get("max_length"),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
