"""What the manifest beside an artefact of the converters says of it; `converters/manifest.py` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runtime.models.manifest import MANIFEST_SUFFIX

MAX_BYTES = 2**20


def provenance_path(artefact: Path) -> Path:
    """Where the manifest of an artefact lies."""
    return artefact.with_name(artefact.name + MANIFEST_SUFFIX)


def read_provenance(artefact: Path) -> dict[str, Any]:
    """The manifest's facts; none where there is no sound manifest, or where it is of another file of this name."""
    path = provenance_path(artefact)
    try:
        if path.stat().st_size > MAX_BYTES:
            return {}
        facts = json.loads(path.read_text(encoding="utf-8"))
        is_ours = isinstance(facts, dict) and "made_from" in facts and facts.get("size") == artefact.stat().st_size
    except (OSError, ValueError):
        return {}
    return facts if is_ours else {}
