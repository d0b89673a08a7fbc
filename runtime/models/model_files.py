"""Models that are no bundles: files and folders of a person's own, starters that ride in packages, downloads.

`Store` in `store.py` answers for these and for bundles, which find their bases here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from runtime.errors import InvalidRequest, ModelNotFound
from runtime.models.catalog import CatalogEntry, load_catalog
from runtime.models.downloads import Downloads, entry_of, entry_of_file, fits, name_of
from runtime.models.files import NoProgress, Progress
from runtime.models.manifest import Downloaded
from runtime.models.name import (
    CONFIG_FILE,
    HUB_PREFIX,
    SETTINGS_FILE,
    CatalogName,
    HubFile,
    LocalFile,
    Reference,
    is_hub_repository,
    is_model_folder,
    not_here,
)
from runtime.models.quantization import choose_file
from runtime.models.starter import STARTERS, assembled_path, is_installed, locate

if TYPE_CHECKING:
    from runtime.models.bundles import Bundle
    from runtime.models.hub import RemoteFile, Repository


@dataclass(frozen=True)
class ModelFile:
    """A model of this machine, a file or a folder of graphs; `name` is the short one to show and to serve it under.

    `tool_dialect` is how it writes calls of tools, where a person says so. A `bundle` changes the model at `path`;
    `entry` is that of its base then.
    """

    name: str
    path: Path
    entry: CatalogEntry | None
    source: Literal["path", "starter", "hub", "bundle"]
    license: str | None
    tool_dialect: str | None = None
    bundle: Bundle | None = None

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that the bundle or the catalogue names; none where nothing is known."""
        if self.bundle is not None and self.bundle.recipe.languages:
            return self.bundle.recipe.languages
        return self.entry.languages if self.entry is not None else ()


@dataclass(frozen=True)
class Offer:
    """What the hub has for a reference: the file that `Store.pull` would bring; `size` in bytes.

    `destination` is where it goes, and `partial_bytes` are here already, of a download that was cut.
    """

    name: str
    repository: Repository
    file: RemoteFile
    revision: str | None
    entry: CatalogEntry | None
    license: str | None
    destination: Path
    partial_bytes: int


class ModelFiles:
    """Finds, fetches, lists and removes them under one folder; each by the reference that its `text` was read into."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._downloads = Downloads(root / "hub")

    def names(self) -> list[str]:
        """Those of the catalogue, and of downloads."""
        return [*load_catalog(), *(name_of(each) for each in self._downloads.all())]

    def find(self, wanted: Reference, text: str) -> ModelFile | None:
        """The file where it lies or, of a starter, would; nothing is made or fetched. None for one that is not here.

        Raises:
            ModelNotFound: nothing lies at the path.
            InvalidRequest: several downloads fit.
        """
        if isinstance(wanted, LocalFile):
            return _local(wanted.path, text)
        if entry := _packaged(wanted):
            return self._starter_file(entry)
        here = self._downloads.matching(wanted)
        return _model_file(_one_of(here, wanted)) if here else None

    def resolve(self, wanted: Reference, text: str, progress: Progress | None, *, download: bool) -> ModelFile:
        """See `Store.resolve`."""
        if (found := self.find(wanted, text)) is not None:
            return self._assembled(found, progress)
        if download:
            return self.pull(wanted, text, progress)
        raise not_here(text, f"Run `demotic pull {text}`.")

    def pull(self, wanted: Reference, text: str, progress: Progress | None) -> ModelFile:
        """See `Store.pull`."""
        if isinstance(wanted, LocalFile) or _packaged(wanted):
            return self.resolve(wanted, text, progress, download=False)
        from runtime.models import hub

        if hub.is_offline():
            if (found := self.find(wanted, text)) is not None:
                return found
            raise hub.offline(text)
        offer = self._offer(wanted)
        return _model_file(
            self._downloads.fetch(offer.repository, offer.file, offer.revision, progress or NoProgress())
        )

    def offer(self, wanted: Reference, text: str) -> ModelFile | Offer:
        """See `Store.offer`."""
        if isinstance(wanted, LocalFile):
            return _local(wanted.path, text)
        if (found := self.find(wanted, text)) is not None:
            _check_installed(found)
            return found
        from runtime.models import hub

        if hub.is_offline():
            raise hub.offline(text)
        return self._offer(wanted)

    def installed(self) -> list[ModelFile]:
        """Installed starters, of which one in chunks may not be assembled yet, and downloads."""
        entries = [entry for entry in load_catalog().values() if entry.package is not None]
        starters = [self._starter_file(entry) for entry in entries if is_installed(STARTERS[entry.package or ""])]
        return starters + [_model_file(download) for download in self._downloads.all()]

    def remove(self, wanted: Reference, text: str) -> ModelFile:
        """See `Store.remove`."""
        if isinstance(wanted, LocalFile):
            raise InvalidRequest(
                f"{wanted.path} is a file of yours, which demotic does not delete.",
                remedy="Delete it by hand if you want to.",
                param="model",
            )
        if entry := _packaged(wanted):
            return self._remove_starter(entry)
        here = self._downloads.matching(wanted)
        if not here:
            raise not_here(text, "See `demotic list` for those that are.")
        files = _files(here)
        if len(files) > 1:
            raise InvalidRequest(
                f"{text} fits {len(files)} downloaded files.",
                remedy=f"Name one of them: {', '.join(f'hf:{here[0].manifest.repo}:{file}' for file in files)}.",
                param="model",
            )
        for download in here:
            self._downloads.delete(download)
        return _model_file(here[0])

    def shareable(self, model: ModelFile) -> str | None:
        """See `Store.shareable`."""
        if model.source == "starter":
            return model.name
        manifests = (download.manifest for download in self._downloads.all() if download.path == model.path)
        return next((f"{HUB_PREFIX}{each.repo}@{each.commit}:{each.file}" for each in manifests), None)

    def known_sha256(self, model: ModelFile) -> str | None:
        """The SHA-256 of a file, where it was checked when it came."""
        if model.source == "starter" and model.entry is not None:
            return STARTERS[model.entry.package or ""].sha256
        return next((each.manifest.sha256 for each in self._downloads.all() if each.path == model.path), None)

    def _on_hub(self, wanted: CatalogName | HubFile) -> tuple[HubFile, CatalogEntry | None]:
        """Where to look for what is wanted, and the catalogue's entry whose pattern narrows the choice."""
        if isinstance(wanted, HubFile):
            return wanted, None
        entry = load_catalog().get(wanted.name)
        if entry is not None and entry.repo is not None:
            return HubFile(entry.repo), entry
        known = self._downloads.matching(wanted)[0].manifest  # a name that only a download has
        return HubFile(known.repo, known.revision, known.file), None

    def _offer(self, wanted: CatalogName | HubFile) -> Offer:
        from runtime.models import hub

        hub_file, entry = self._on_hub(wanted)
        repository = hub.look_up(hub_file.repo, hub_file.revision)
        names = [file.path for file in repository.files]
        if entry is not None:
            names = [name for name in names if fits(entry, name)] or names
        chosen = choose_file(hub_file, names)
        file = next(file for file in repository.files if file.path == chosen)
        entry = entry or entry_of_file(repository.repo, chosen)
        return Offer(
            name=entry.name if entry is not None else PurePosixPath(chosen).stem.lower(),
            repository=repository,
            file=file,
            revision=hub_file.revision,
            entry=entry,
            license=entry.license if entry is not None else repository.license,
            destination=self._downloads.target(repository, file),
            partial_bytes=self._downloads.partial_bytes(repository, file),
        )

    def _starter_file(self, entry: CatalogEntry) -> ModelFile:
        path = assembled_path(STARTERS[entry.package or ""], self._root / "starter")
        return ModelFile(entry.name, path, entry, "starter", entry.license)

    def _assembled(self, model: ModelFile, progress: Progress | None) -> ModelFile:
        """The model, whose chunks are put together now where it is a starter that has some."""
        _check_installed(model)
        if model.source == "starter" and model.entry is not None:
            locate(STARTERS[model.entry.package or ""], self._root / "starter", progress)
        return model

    def _remove_starter(self, entry: CatalogEntry) -> ModelFile:
        starter, model = STARTERS[entry.package or ""], self._starter_file(entry)
        if starter.is_whole or not model.path.is_file():
            chunks = [] if starter.is_whole else [package.replace("_", "-") for package, _ in starter.chunks]
            raise InvalidRequest(
                f"'{entry.name}' rides in a package, which pip manages.",
                remedy=f"Run `pip uninstall {' '.join([starter.package, *chunks])}`.",
                param="model",
            )
        model.path.unlink()
        return model


def _packaged(wanted: CatalogName | HubFile) -> CatalogEntry | None:
    entry = load_catalog().get(wanted.name) if isinstance(wanted, CatalogName) else None
    return entry if entry is not None and entry.package is not None else None


def _check_installed(model: ModelFile) -> None:
    """Refuse a starter whose package is missing."""
    if model.source != "starter" or model.entry is None:
        return
    starter = STARTERS[model.entry.package or ""]
    if not is_installed(starter) and not model.path.is_file():
        raise not_here(model.name, f"It rides in a package: run `pip install {starter.package}`.")


def _files(here: Sequence[Downloaded]) -> list[str]:
    return list(dict.fromkeys(download.manifest.file for download in here))


def _one_of(here: Sequence[Downloaded], wanted: CatalogName | HubFile) -> Downloaded:
    if isinstance(wanted, CatalogName):
        return here[0]
    chosen = choose_file(wanted, _files(here))
    return next(download for download in here if download.manifest.file == chosen)


def _model_file(download: Downloaded) -> ModelFile:
    entry = entry_of(download.manifest)
    license_name = entry.license if entry is not None else download.manifest.license
    return ModelFile(name_of(download), download.path, entry, "hub", license_name)


def _local(path: Path, reference: str) -> ModelFile:
    try:
        if path.is_file():
            return ModelFile(path.stem, path, None, "path", None)
        if is_model_folder(path):
            return ModelFile(path.resolve().name, path, None, "path", None)
        if path.is_dir():
            raise ModelNotFound(
                str(path),
                remedy=f"The folder has no {SETTINGS_FILE}, nor {CONFIG_FILE} with graphs: it holds no exported model.",
            )
    except OSError:  # a name too long for the file system
        pass
    text = reference.strip()
    hint = f"For a model of the hub write hf:{text}." if is_hub_repository(text) else "No file lies at this path."
    raise ModelNotFound(text, remedy=hint)
