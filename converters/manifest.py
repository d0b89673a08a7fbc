"""The manifest beside an artefact: what it was made from, with which tools, and how near it is to its source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from converters.card import Card
from converters.checkpoint import Origin
from runtime.errors import ConversionRefused
from runtime.models.files import sha256_of, write_atomically
from runtime.models.inspect import read_header
from runtime.models.onnx_folder import MANIFEST_FILE
from runtime.models.provenance import provenance_path, read_provenance

# Files of the source up to this size are hashed; larger ones, the weights, are told by name and size.
_MAX_HASHED_BYTES = 64 * 2**20
_TOOLS = ("demotic", "gguf", "tokenizers", "numpy", "llama-cpp-python")
_MODULES = {"llama-cpp-python": "llama_cpp"}


@dataclass(frozen=True)
class SourceFile:
    """A file of the source, or of a folder that is an artefact.

    `size` in bytes, `sha256` None where it was not computed.
    """

    name: str
    size: int
    sha256: str | None


def now() -> str:
    """When something is made, as manifests tell it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Manifest:
    """One artefact.

    Of a folder `sha256` is None, and `files` tells each of its files.
    `tokenizer` and `parity` hold figures; `notes` what the artefact does otherwise than its source; `adapter` what was
    merged into the weights, if anything; `imatrix` the importance matrix that it was quantized with; `trim` what its
    vocabulary was trimmed to; `transplant` where the rows of another tokenizer are from; `merge` what weights it was
    computed of, and how; `quantization` how graphs were made smaller, and what that changed.
    """

    file: str
    size: int
    sha256: str | None
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
    files: tuple[SourceFile, ...] = ()
    adapter: dict[str, Any] | None = None
    tokenizer: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] | None = None
    imatrix: dict[str, Any] | None = None
    trim: dict[str, Any] | None = None
    transplant: dict[str, Any] | None = None
    merge: dict[str, Any] | None = None
    quantization: dict[str, Any] | None = None
    made_at: str = field(default_factory=now)


def write_manifest(artefact: Path, manifest: Manifest) -> Path:
    """Write it beside its artefact and return its path."""
    path = provenance_path(artefact)
    write_atomically(path, json.dumps(asdict(manifest), ensure_ascii=False, indent=2) + "\n")
    return path


def made_from(
    origin: Origin,
    card: Card,
    *,
    file: str,
    size: int = 0,
    sha256: str | None = None,
    architecture: str,
    type_name: str,
    sources: tuple[SourceFile, ...],
    notes: Sequence[str],
) -> Manifest:
    """The manifest of an artefact that was made of what `origin` and `card` tell of.

    Of a folder `write_folder_manifest` tells the size.
    """
    return Manifest(
        file=file,
        size=size,
        sha256=sha256,
        made_from=origin.source,
        revision=origin.revision,
        license=card.license,
        languages=card.languages,
        base_models=card.base_models,
        architecture=architecture,
        type=type_name,
        source_files=sources,
        tools=tools(),
        notes=tuple(notes),
    )


def derived(
    source: Path,
    target: Path,
    type_name: str,
    notes: Sequence[str],
    *,
    name: str | None = None,
    imatrix: dict[str, Any] | None = None,
    trim: dict[str, Any] | None = None,
    merge: dict[str, Any] | None = None,
) -> Manifest:
    """The manifest of a GGUF that was made of another: what that one was made from, if its manifest says.

    `target` is where it lies now, `name` what it will be called.
    """
    before, header = read_provenance(source), read_header(target)
    return Manifest(
        file=name or target.name,
        size=target.stat().st_size,
        sha256=sha256_of(target),
        made_from=str(before.get("made_from", source.name)),
        revision=before.get("revision"),
        license=before.get("license") or header.license,
        languages=tuple(before.get("languages") or ()),
        base_models=tuple(before.get("base_models") or ()),
        architecture=header.architecture,
        type=type_name,
        source_files=(SourceFile(source.name, source.stat().st_size, _hash(source)),),
        tools=tools(),
        notes=(*(before.get("notes") or ()), *notes),
        adapter=before.get("adapter"),
        tokenizer={} if trim else before.get("tokenizer") or {},
        imatrix=imatrix or before.get("imatrix"),
        trim=trim,
        merge=merge,
    )


def manifest_of(values: Mapping[str, Any]) -> Manifest:
    """The manifest that was read of a file; entries that this version does not know are left out."""
    known = {each.name for each in fields(Manifest)}
    found: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name in known
    }
    for name in ("files", "source_files"):
        found[name] = tuple(SourceFile(**each) for each in found.get(name, ()))
    try:
        return Manifest(**found)
    except TypeError as fault:
        raise ConversionRefused(f"The manifest lacks an entry: {fault}.", remedy="Convert the source again.") from fault


def write_folder_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest into a folder, with the files that are in it, and return it."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    files = tuple(SourceFile(path.name, path.stat().st_size, sha256_of(path)) for path in paths)
    manifest = replace(manifest, files=files, size=sum(each.size for each in files))
    text = json.dumps(asdict(manifest), ensure_ascii=False, indent=2) + "\n"
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return manifest


def source_files(folder: Path, weights: Iterable[Path]) -> tuple[SourceFile, ...]:
    """The files that were read."""
    others = sorted(path for path in folder.iterdir() if path.suffix in {".json", ".model", ".txt"})
    paths = [*weights, *(path for path in others if path.is_file())]
    return tuple(SourceFile(path.name, path.stat().st_size, _hash(path)) for path in paths)


def tools(*more: str) -> dict[str, str]:
    """Names and versions of the packages that made the artefact; `more` are those that not every artefact needs.

    What is not installed has made nothing.
    """
    there = (name for name in (*_TOOLS, *more) if importlib.util.find_spec(_MODULES.get(name, name)) is not None)
    return {name: importlib.metadata.version(name) for name in there}


def _hash(path: Path) -> str | None:
    return sha256_of(path) if path.stat().st_size <= _MAX_HASHED_BYTES else None


def sha256_of_text(text: str) -> str:
    """The SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
