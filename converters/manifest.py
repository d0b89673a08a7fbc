"""The manifest beside an artefact: what it was made from, with which tools, and how near it is to its source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from converters.checkpoint import Checkpoint
from runtime.models.files import read_blocks, write_atomically
from runtime.models.provenance import provenance_path

# Files of the source up to this size are hashed; larger ones, the weights, are told by name and size.
_MAX_HASHED_BYTES = 64 * 2**20
_TOOLS = ("demotic", "gguf", "tokenizers", "numpy", "llama-cpp-python")


@dataclass(frozen=True)
class SourceFile:
    """A file of the source; `size` in bytes, `sha256` None where it was not computed."""

    name: str
    size: int
    sha256: str | None


@dataclass(frozen=True)
class Manifest:
    """One artefact. `tokenizer` and `parity` hold figures; `notes` what the artefact does otherwise than its source."""

    file: str
    size: int
    sha256: str
    made_from: str
    revision: str | None
    license: str | None
    languages: tuple[str, ...]
    base_models: tuple[str, ...]
    architecture: str
    type: str
    source_files: tuple[SourceFile, ...]
    tools: dict[str, str]
    notes: tuple[str, ...]
    tokenizer: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] | None = None
    made_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def write_manifest(artefact: Path, manifest: Manifest) -> Path:
    """Write it beside its artefact and return its path."""
    path = provenance_path(artefact)
    write_atomically(path, json.dumps(asdict(manifest), ensure_ascii=False, indent=2) + "\n")
    return path


def source_files(checkpoint: Checkpoint) -> tuple[SourceFile, ...]:
    """The files that were read."""
    others = sorted(path for path in checkpoint.folder.iterdir() if path.suffix in {".json", ".model", ".txt"})
    paths = [*checkpoint.weight_files, *(path for path in others if path.is_file())]
    return tuple(SourceFile(path.name, path.stat().st_size, _hash(path)) for path in paths)


def tools() -> dict[str, str]:
    """Names and versions of the packages that made the artefact."""
    return {name: importlib.metadata.version(name) for name in _TOOLS}


def _hash(path: Path) -> str | None:
    if path.stat().st_size > _MAX_HASHED_BYTES:
        return None
    digest = hashlib.sha256()
    for block in read_blocks(path):
        digest.update(block)
    return digest.hexdigest()
