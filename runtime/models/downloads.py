"""The downloads of this machine: which are here, which of them a reference means, one more, one less."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import ModelFileInvalid, ModelNotFound
from runtime.models.catalog import CatalogEntry, load_catalog
from runtime.models.files import Progress, locked, storage_fault
from runtime.models.manifest import (
    Downloaded,
    Manifest,
    manifest_path,
    read_downloads,
    target_path,
    write_manifest,
)
from runtime.models.name import CatalogName, HubFile
from runtime.models.quantization import choose_file

if TYPE_CHECKING:
    from runtime.models.hub import RemoteFile, Repository


class Downloads:
    """The accepted files under one folder; the layout is in `manifest.py`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def all(self) -> list[Downloaded]:
        """Every download, the newest first."""
        return read_downloads(self.root)

    def matching(self, wanted: CatalogName | HubFile) -> list[Downloaded]:
        """Downloads that a reference means, the newest first; the same file may be here at several commits."""
        if isinstance(wanted, CatalogName):
            same = [download for download in self.all() if name_of(download) == wanted.name]
            return [each for each in same if each.manifest.repo == same[0].manifest.repo]
        same = [download for download in self.all() if _is_of(download.manifest, wanted)]
        if wanted.file is None and wanted.quantization is None:
            return same
        try:
            chosen = choose_file(wanted, list(dict.fromkeys(each.manifest.file for each in same)))
        except ModelNotFound:
            return []
        return [download for download in same if download.manifest.file == chosen]

    def fetch(self, repository: Repository, file: RemoteFile, revision: str | None, progress: Progress) -> Downloaded:
        """Bring a file of the hub here, unless its bytes are here already.

        Raises:
            DownloadFailed, ModelNotFound, ConfigurationInvalid: as `download.download`.
            ModelFileInvalid: what came is not a sound model; it is not kept.
        """
        from runtime.models.download import PARTIAL_SUFFIX, download

        target = self.target(repository, file)
        try:
            with locked(target.with_name(f".{target.name}.lock")):
                if here := self._same_bytes(repository, file):
                    return here
                if target.is_file():  # whole, but a crash came before its manifest: check it like a partial one
                    target.replace(target.with_name(target.name + PARTIAL_SUFFIX))
                partial, digest = download(repository, file, target, progress)
                _require_sound(partial, f"{repository.repo}/{file.path}")
                partial.replace(target)
                manifest = Manifest(
                    repo=repository.repo,
                    revision=revision,
                    commit=repository.commit,
                    file=file.path,
                    sha256=digest,
                    size=file.size,
                    license=repository.license,
                    downloaded_at=datetime.now(UTC).isoformat(timespec="microseconds"),
                )
                write_manifest(target, manifest)
        except OSError as fault:
            raise storage_fault(fault, target) from fault
        return Downloaded(target, manifest)

    def target(self, repository: Repository, file: RemoteFile) -> Path:
        """Where a file of the hub goes."""
        return target_path(self.root, repository.repo, repository.commit, file.path)

    def partial_bytes(self, repository: Repository, file: RemoteFile) -> int:
        """How much of a file is here, of a download that was cut."""
        from runtime.models.download import PARTIAL_SUFFIX

        target = self.target(repository, file)
        try:
            return target.with_name(target.name + PARTIAL_SUFFIX).stat().st_size
        except OSError:
            return 0

    def delete(self, download: Downloaded) -> None:
        """Delete a file, its manifest, and the folders that are empty after."""
        name = download.path.name
        for path in (manifest_path(download.path), download.path, download.path.with_name(f".{name}.lock")):
            path.unlink(missing_ok=True)
        for folder in list(download.path.relative_to(self.root).parents)[:-1]:
            with suppress(OSError):  # another file is in it
                (self.root / folder).rmdir()

    def _same_bytes(self, repository: Repository, file: RemoteFile) -> Downloaded | None:
        """The file at this commit, or at another one if its bytes are the same."""
        for download in self.all():
            manifest = download.manifest
            if (manifest.repo, manifest.file) == (repository.repo, file.path) and (
                manifest.commit == repository.commit or manifest.sha256 == file.sha256
            ):
                return download
        return None


def name_of(download: Downloaded) -> str:
    """The short name of a download: the catalogue's, else the file's own in lower case."""
    entry = entry_of(download.manifest)
    return entry.name if entry is not None else download.path.stem.lower()


def entry_of(manifest: Manifest) -> CatalogEntry | None:
    """The catalogue's entry for a downloaded file, if it has one."""
    return entry_of_file(manifest.repo, manifest.file)


def entry_of_file(repo: str, file: str) -> CatalogEntry | None:
    """The catalogue's entry for a file of the hub, if it has one."""
    for entry in load_catalog().values():
        if (entry.repo or "").casefold() == repo.casefold() and fits(entry, file):
            return entry
    return None


def fits(entry: CatalogEntry, file: str) -> bool:
    """Whether a file's name fits the entry's pattern; upper and lower case are the same."""
    return entry.file is not None and fnmatchcase(file.casefold(), entry.file.casefold())


def _is_of(manifest: Manifest, wanted: HubFile) -> bool:
    if manifest.repo.casefold() != wanted.repo.casefold():
        return False
    if wanted.revision is None or wanted.revision == manifest.revision:
        return True
    return len(wanted.revision) >= 7 and manifest.commit.startswith(wanted.revision)


def _require_sound(partial: Path, name: str) -> None:
    """Check a download's header before anything else reads it; a bad one is deleted."""
    from runtime.models.inspect import read_header

    try:
        read_header(partial)
    except ModelFileInvalid as fault:
        partial.unlink(missing_ok=True)
        raise ModelFileInvalid(fault.message.replace(str(partial), name), remedy="It was not kept.") from fault
