"""The models of this machine: names to files, wherever they come from.

Under `cache_dir()/models`: `hub/` holds downloads (`downloads.py`), `starter/` what was assembled from packages
(`starter.py`), `bundles/` and `made/` bundles and the models that they make (`bundles.py`), `hashes/` what is known of
files of a person's own (`known_hashes.py`), `used/` one mark for each model that was used before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from runtime.config import cache_dir, load_user_config
from runtime.errors import InvalidRequest, ModelFileInvalid, ModelNotFound
from runtime.models.bundle_store import BundleStore
from runtime.models.bundles import Bundle
from runtime.models.catalog import TEXT_TASKS, CatalogEntry, default_entry, load_catalog
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
    parse_reference,
)
from runtime.models.quantization import choose_file
from runtime.models.recipe import is_bundle_name
from runtime.models.starter import STARTERS, assembled_path, is_installed, locate

if TYPE_CHECKING:
    from runtime.models.hub import RemoteFile, Repository

__all__ = ["ModelFile", "Offer", "Progress", "Store"]


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


class Store:
    """Finds, fetches, lists and removes models under one folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else cache_dir() / "models"
        self._downloads = Downloads(self.root / "hub")
        self._bundles = BundleStore(self.root, self._find_base)

    def resolve(self, reference: str | None, *, download: bool = False, progress: Progress | None = None) -> ModelFile:
        """The file for what a person typed, or for nothing: the default model.

        A starter is assembled, and what a bundle makes of its base is made, when needed.

        Raises:
            ModelNotFound: no such model, or it is known but not here and `download` is False.
            InvalidRequest: the reference is malformed or fits several files.
            DownloadFailed, ModelFileInvalid, ConfigurationInvalid: as `pull`.
        """
        if reference is None:
            reference = self.default_name()
        wanted = self._parse(reference)
        if (bundle := self._bundles.meant(wanted, progress)) is not None:
            path = self._bundles.model_of(bundle, progress or NoProgress(), download=download)
            return self._bundle_file(bundle, path)
        if isinstance(wanted, LocalFile):
            return _local(wanted.path, reference)
        if entry := _packaged(wanted):
            return self._starter(entry, progress)
        if here := self._downloads.matching(wanted):
            return _model_file(_one_of(here, wanted))
        if download:
            return self.pull(reference, progress)
        raise not_here(reference, f"Run `demotic pull {reference}`.")

    def pull(self, reference: str, progress: Progress | None = None) -> ModelFile:
        """Bring a model here, in its newest state; bytes that are here already are not fetched again.

        Raises:
            ModelNotFound: no such model, repository, revision or file.
            InvalidRequest: the reference is malformed or fits several files.
            DownloadFailed: the hub cannot be reached, refuses, or sent other bytes than promised; or no space.
            ModelFileInvalid: what came is not a sound model; it is not kept.
            ConfigurationInvalid: the cache cannot be written.
        """
        wanted = self._parse(reference)
        if (source := self._bundles.source_of(wanted)) is not None:
            bundle: Bundle | None = self._bundles.pull(source, self._check_free, progress or NoProgress())
        else:
            bundle = self._bundles.meant(wanted, progress)
        if bundle is not None:
            return self._bundle_file(bundle, self._bundles.model_of(bundle, progress or NoProgress()))
        if isinstance(wanted, LocalFile):
            return _local(wanted.path, reference)
        if entry := _packaged(wanted):
            return self._starter(entry, progress)
        from runtime.models import hub

        if hub.is_offline():
            if here := self._downloads.matching(wanted):
                return _model_file(_one_of(here, wanted))
            raise hub.offline(reference)
        offer = self._offer(wanted)
        return _model_file(
            self._downloads.fetch(offer.repository, offer.file, offer.revision, progress or NoProgress())
        )

    def offer(self, reference: str) -> ModelFile | Offer:
        """What `pull` would bring, of which nothing is fetched: the model itself where it need not be.

        Raises:
            ModelNotFound, InvalidRequest, DownloadFailed: as `pull`; and a bundle of the hub is not known before.
        """
        wanted = self._parse(reference)
        if (bundle := self._bundles.meant(wanted, None)) is not None:
            return self._offer_of(bundle)
        if isinstance(wanted, LocalFile):
            return _local(wanted.path, reference)
        if entry := _packaged(wanted):
            return self._starter_here(entry)
        if here := self._downloads.matching(wanted):
            return _model_file(_one_of(here, wanted))
        from runtime.models import hub

        if hub.is_offline():
            raise hub.offline(reference)
        return self._offer(wanted)

    def has_bundle(self, name: str) -> bool:
        """Whether a bundle of this name was pulled; its base may be gone."""
        return self._bundles.here.find(name.strip().casefold()) is not None

    def shareable(self, model: ModelFile) -> str | None:
        """A reference that finds the very file on other machines; None for a file of a person's own."""
        if model.source == "starter":
            return model.name
        manifests = (download.manifest for download in self._downloads.all() if download.path == model.path)
        return next((f"{HUB_PREFIX}{each.repo}@{each.commit}:{each.file}" for each in manifests), None)

    def sha256(self, model: ModelFile, progress: Progress) -> str:
        """The SHA-256 of a model's file, which is not read again where it is known.

        Raises:
            ModelFileInvalid: it cannot be read.
        """
        return self._known_sha256(model) or self._bundles.sha256(model.path, progress)

    def installed(self) -> list[ModelFile]:
        """Models of this machine: installed starters (one in chunks may not be assembled yet), downloads, bundles."""
        entries = [entry for entry in load_catalog().values() if entry.package is not None]
        starters = [self._starter_file(entry) for entry in entries if is_installed(STARTERS[entry.package or ""])]
        bundles = [self._bundle_file(bundle, self._path_of(bundle)) for bundle in self._bundles.here.all()]
        return starters + [_model_file(download) for download in self._downloads.all()] + bundles

    def remove(self, reference: str) -> ModelFile:
        """Delete a downloaded model, a bundle, or the assembled copy of a starter; returns what was deleted.

        A bundle's base stays.

        Raises:
            ModelNotFound: it is not here.
            InvalidRequest: it is a person's own file, rides in a package, or several downloads fit.
        """
        wanted = self._parse(reference)
        if isinstance(wanted, LocalFile):
            raise InvalidRequest(
                f"{wanted.path} is a file of yours, which demotic does not delete.",
                remedy="Delete it by hand if you want to.",
                param="model",
            )
        if (bundle := self._bundles.meant(wanted, None)) is not None:
            removed = self._bundle_file(bundle, self._path_of(bundle))
            self._bundles.here.delete(bundle)
            return removed
        if entry := _packaged(wanted):
            return self._remove_starter(entry)
        here = self._downloads.matching(wanted)
        if not here:
            raise not_here(reference, "See `demotic list` for those that are.")
        files = _files(here)
        if len(files) > 1:
            raise InvalidRequest(
                f"{reference} fits {len(files)} downloaded files.",
                remedy=f"Name one of them: {', '.join(f'hf:{here[0].manifest.repo}:{file}' for file in files)}.",
                param="model",
            )
        for download in here:
            self._downloads.delete(download)
        return _model_file(here[0])

    def default_name(self) -> str:
        """The configured model, else a downloaded one (chat first), else a starter, else the catalogue's default.

        Curated models that give no text are no one's default, nor are bundles.
        """
        configured = load_user_config().default_model
        if configured:
            return configured
        models = [model for model in self.installed() if model.bundle is None]
        models = [model for model in models if model.entry is None or model.entry.task in TEXT_TASKS]
        models.sort(key=lambda model: (model.source != "hub", model.entry is not None and model.entry.task != "chat"))
        return models[0].name if models else default_entry().name

    def first_use(self, model: ModelFile) -> bool:
        """Whether the model was never used before: True once for each name, or always if nothing can be written."""
        mark = self.root / "used" / quote(model.name, safe=" ")[:200]
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        except OSError:
            return True
        return True

    def _parse(self, reference: str) -> Reference:
        bundles = (bundle.recipe.name for bundle in self._bundles.here.all())
        return parse_reference(
            reference, [*load_catalog(), *bundles, *(name_of(each) for each in self._downloads.all())]
        )

    def check_new_name(self, name: str) -> None:
        """Refuse the name of a bundle that cannot be one, or that another model has.

        Raises:
            InvalidRequest: with what to do.
        """
        if not is_bundle_name(name):
            raise InvalidRequest(
                f"{name!r:.100} is no name of a bundle.",
                remedy="Take lower-case letters and digits, with dots, dashes and underscores between.",
            )
        if name in load_catalog() or any(name_of(download) == name for download in self._downloads.all()):
            raise InvalidRequest(
                f"The bundle is called '{name}', as another model is.", remedy="Make it with another --name."
            )

    def _check_free(self, name: str, source: str) -> None:
        """Refuse to pull a bundle under a name that something else has. Raises InvalidRequest with what to do."""
        self.check_new_name(name)
        here = self._bundles.here.find(name)
        if here is not None and here.origin.source != source:
            raise InvalidRequest(
                f"A bundle '{name}' from {here.origin.source} is here already.",
                remedy=f"Run `demotic remove {name}` first.",
            )

    def _find_base(self, reference: str, download: bool, progress: Progress) -> tuple[Path, str | None]:
        """The file of a bundle's base, and its SHA-256 where that was checked when it came."""
        base = self.resolve(reference, download=download, progress=progress)
        if base.bundle is not None or not base.path.is_file():
            raise ModelFileInvalid(f"{reference} is no GGUF, so it is no base.", remedy="Make the bundle anew.")
        return base.path, self._known_sha256(base)

    def _known_sha256(self, model: ModelFile) -> str | None:
        """The hash of a file that was checked when it came."""
        if model.source == "starter" and model.entry is not None:
            return STARTERS[model.entry.package or ""].sha256
        return next((each.manifest.sha256 for each in self._downloads.all() if each.path == model.path), None)

    def _base_here(self, bundle: Bundle) -> ModelFile | None:
        """The base of a bundle, without making or fetching anything; None where it is not known here."""
        try:
            wanted = self._parse(bundle.origin.base)
            if isinstance(wanted, LocalFile):
                return _local(wanted.path, bundle.origin.base)
            if entry := _packaged(wanted):
                return self._starter_file(entry)
            here = self._downloads.matching(wanted)
            return _model_file(_one_of(here, wanted)) if here else None
        except (InvalidRequest, ModelNotFound):
            return None

    def _path_of(self, bundle: Bundle) -> Path:
        """Where the model that a bundle is run with lies, or would."""
        base = self._base_here(bundle)
        return bundle.made or (base.path if base is not None else bundle.folder / bundle.recipe.base.reference)

    def _bundle_file(self, bundle: Bundle, path: Path) -> ModelFile:
        base = self._base_here(bundle)
        license_name = bundle.recipe.license or (base.license if base is not None else None)
        entry = base.entry if base is not None else load_catalog().get(bundle.recipe.base.reference)
        return ModelFile(bundle.recipe.name, path, entry, "bundle", license_name, bundle=bundle)

    def _offer_of(self, bundle: Bundle) -> ModelFile | Offer:
        """What pulling a bundle would bring beside its own files: its base, where that is not here."""
        if bundle.is_made or self._base_here(bundle) is not None:
            return self._bundle_file(bundle, self._path_of(bundle))
        return self.offer(bundle.origin.base)

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
        path = assembled_path(STARTERS[entry.package or ""], self.root / "starter")
        return ModelFile(entry.name, path, entry, "starter", entry.license)

    def _starter(self, entry: CatalogEntry, progress: Progress | None) -> ModelFile:
        model = self._starter_here(entry)
        locate(STARTERS[entry.package or ""], self.root / "starter", progress)
        return model

    def _starter_here(self, entry: CatalogEntry) -> ModelFile:
        """A starter, which may have to be assembled yet."""
        starter, model = STARTERS[entry.package or ""], self._starter_file(entry)
        if not is_installed(starter) and not model.path.is_file():
            raise not_here(entry.name, f"It rides in a package: run `pip install {starter.package}`.")
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
