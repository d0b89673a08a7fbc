"""A checkpoint that is to be computed of others, and how it becomes a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from converters.card import Card
from converters.checkpoint import Checkpoint
from converters.checkpoint_folder import Contents, require_target, write_contents
from converters.files import folder_beside
from converters.manifest import Manifest, made_from, source_files, write_folder_manifest
from converters.tensors import main_type
from runtime.models.files import Progress


@dataclass(frozen=True)
class Plan:
    """All that is known before the first byte is written.

    contents: what is written. card: what is told of it.
    sources: what it is computed of; its manifest is named after the first.
    facts: how, for the manifest.
    notes: what a person may not expect.
    """

    contents: Contents
    card: Card
    sources: tuple[Checkpoint, ...]
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def require_free_target(path: Path, plan: Plan, more: tuple[Path, ...] = (), *, force: bool) -> None:
    """Refuse a target as `require_target` does; `more` are further folders that are read."""
    require_target(path, plan.contents, (*(source.folder for source in plan.sources), *more), force=force)


def write(
    path: Path, plan: Plan, progress: Progress, verify: Callable[[Path], dict[str, Any]] | None = None
) -> Manifest:
    """Write the folder, whole or not at all.

    verify: computes what was written before it gets its name; its figures go into the manifest.

    Raises:
        ConversionRefused: a value cannot be stored, the disk refuses a file, or what `verify` raises.
    """
    first = plan.sources[0]
    with folder_beside(path) as folder:
        write_contents(folder, plan.contents, progress, title=path.name)
        parity = verify(folder) if verify is not None else None
        manifest = made_from(
            first.origin,
            plan.card,
            file=path.name,
            architecture=next(iter(first.config.texts("architectures")), "unknown"),
            type_name=main_type(plan.contents.tensors),
            sources=source_files(first.folder, first.weight_files),
            notes=plan.notes,
        )
        return write_folder_manifest(folder, replace(manifest, merge=plan.facts, parity=parity))


def facts_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a manifest says of one of several sources."""
    return {
        "made_from": checkpoint.origin.source,
        "revision": checkpoint.origin.revision,
        "source_files": [asdict(each) for each in source_files(checkpoint.folder, checkpoint.weight_files)],
    }
