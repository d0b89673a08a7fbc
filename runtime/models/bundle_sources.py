"""Where a bundle is pulled from: a folder of this machine, or a repository of the hub."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from runtime.errors import ModelFileInvalid, ModelNotFound
from runtime.models.bundles import Origin
from runtime.models.files import Progress
from runtime.models.name import HUB_PREFIX, HubFile
from runtime.models.recipe import MAX_BYTES, Base, Part, Recipe, Vocabulary, broken, check_part, is_local, read_small

if TYPE_CHECKING:
    from runtime.models.hub import RemoteFile, Repository


class Source(Protocol):
    """Gives the files of a bundle."""

    def bring_recipe(self, folder: Path, progress: Progress) -> Path:
        """Put the recipe into `folder`, and return its path there."""

    def bring(self, part: Part | Vocabulary, target: Path, progress: Progress) -> None:
        """Put a file of the bundle at `target`; whether it is the right one is for others to check."""

    def origin(self, recipe: Recipe) -> Origin:
        """Where it is from, and where its base is."""


class FolderSource:
    """A recipe on this machine, with its files beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def bring_recipe(self, folder: Path, progress: Progress) -> Path:  # noqa: ARG002  # as `Source`; it is small
        """See `Source.bring_recipe`."""
        target = folder / self._path.name
        target.write_bytes(read_small(self._path))
        return target

    def bring(self, part: Part | Vocabulary, target: Path, progress: Progress) -> None:
        """See `Source.bring`: what lies out of the folder, or is another file, is not copied."""
        shutil.copyfile(check_part(self._path.parent, part, self._path, progress), target)

    def origin(self, recipe: Recipe) -> Origin:
        """See `Source.origin`."""
        return Origin(str(self._path.absolute()), base_reference(self._path.parent, recipe.base))


class HubSource:
    """A recipe in a repository of the hub, with its files beside it."""

    def __init__(self, wanted: HubFile) -> None:
        from runtime.models import hub

        self._wanted = wanted
        self._repository: Repository = hub.look_up(wanted.repo, wanted.revision)
        self._folder = PurePosixPath(wanted.file or "").parent

    def bring_recipe(self, folder: Path, progress: Progress) -> Path:
        """See `Source.bring_recipe`."""
        name = self._wanted.file or ""
        remote = self._remote(name)
        if remote is None:
            raise ModelNotFound(str(self._wanted), remedy=f"{self._wanted.repo} holds no {name}.")
        if remote.size > MAX_BYTES:
            raise broken(Path(name), f"is larger than {MAX_BYTES >> 20} MiB", "Choose another bundle.")
        target = folder / PurePosixPath(name).name
        self._download(remote, target, progress)
        return target

    def bring(self, part: Part | Vocabulary, target: Path, progress: Progress) -> None:
        """See `Source.bring`: what is not of the size that the recipe says is not fetched."""
        remote = self._remote(str(self._folder / part.file))
        if remote is None or remote.size != part.size:
            fault = f"needs {part.file} of {part.size} bytes, which {self._wanted.repo} does not hold"
            raise broken(Path(self._wanted.file or ""), fault, "Tell whoever made the bundle.")
        self._download(remote, target, progress)

    def origin(self, recipe: Recipe) -> Origin:
        """See `Source.origin`."""
        if recipe.local_base is None:
            return Origin(str(self._wanted), recipe.base.reference)
        file = self._folder / recipe.local_base
        return Origin(str(self._wanted), f"{HUB_PREFIX}{self._repository.repo}@{self._repository.commit}:{file}")

    def _remote(self, name: str) -> RemoteFile | None:
        return next((file for file in self._repository.files if file.path == name), None)

    def _download(self, remote: RemoteFile, target: Path, progress: Progress) -> None:
        from runtime.models.download import download

        partial, _ = download(self._repository, remote, target, progress)
        partial.replace(target)


def base_reference(folder: Path, base: Base) -> str:
    """How this machine finds the base of a recipe in `folder`: by its absolute path, where it lies there.

    Raises:
        ModelFileInvalid: a link leads out of the folder.
    """
    if not is_local(base.reference):
        return base.reference
    path = folder / base.reference
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelFileInvalid(f"{path} is a link out of the bundle's folder.", remedy="Put the base itself there.")
    return str(path.absolute())
