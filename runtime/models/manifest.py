"""Downloaded files, and the manifest beside each: where it came from, what it is, under which licence.

The layout is `hub/<org>--<repo>/<commit>/<file>` and, beside it, `<file>.manifest.json`, which is written last: a file
without a manifest was never accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from runtime.errors import InvalidRequest
from runtime.models.files import write_atomically
from runtime.models.name import is_hub_repository, is_safe_file

MANIFEST_SUFFIX = ".manifest.json"


@dataclass(frozen=True)
class Manifest:
    """One downloaded file; `size` in bytes, `downloaded_at` in ISO 8601, UTC; `revision` as it was asked for."""

    repo: str
    revision: str | None
    commit: str
    file: str
    sha256: str
    size: int
    license: str | None
    downloaded_at: str


@dataclass(frozen=True)
class Downloaded:
    """A manifest and the path of its file."""

    path: Path
    manifest: Manifest


def target_path(hub_root: Path, repo: str, commit: str, file: str) -> Path:
    """Where a file of the hub is stored.

    Raises:
        InvalidRequest: one of the names would lead outside `hub_root`.
    """
    target = hub_root / repo.replace("/", "--") / commit / file
    sound = is_hub_repository(repo) and is_safe_file(commit) and "/" not in commit and is_safe_file(file)
    if not sound or not target.resolve().is_relative_to(hub_root.resolve()):
        raise InvalidRequest(f"{repo}/{file!r} would be stored outside of {hub_root}.", param="model")
    return target


def manifest_path(target: Path) -> Path:
    """The manifest of a stored file."""
    return target.with_name(target.name + MANIFEST_SUFFIX)


def write_manifest(target: Path, manifest: Manifest) -> None:
    """Write a file's manifest beside it."""
    write_atomically(manifest_path(target), json.dumps(asdict(manifest), ensure_ascii=False, indent=2) + "\n")


def read_downloads(hub_root: Path) -> list[Downloaded]:
    """All accepted files under `hub_root`, the newest first; damaged manifests count as none."""
    found = [Downloaded(path, manifest) for path, manifest in _read_all(hub_root)]
    return sorted(found, key=lambda download: download.manifest.downloaded_at, reverse=True)


def _read_all(hub_root: Path) -> Iterator[tuple[Path, Manifest]]:
    for path in sorted(hub_root.glob(f"*/*/**/*{MANIFEST_SUFFIX}")):
        target = path.with_name(path.name.removesuffix(MANIFEST_SUFFIX))
        manifest = _read(path)
        if manifest is not None and target.is_file() and target.stat().st_size == manifest.size:
            yield target, manifest


def _read(path: Path) -> Manifest | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    optional = (str, type(None))
    types: dict[str, tuple[type, ...]] = {"size": (int,), "revision": optional, "license": optional}
    names = {field.name for field in fields(Manifest)}
    if not isinstance(values, dict) or set(values) != names:
        return None
    if not all(isinstance(value, types.get(name, (str,))) for name, value in values.items()):
        return None
    return Manifest(**values)
