"""The models of this machine: names to files, wherever they come from.

Under `cache_dir()/models`: `hub/` holds downloads (`downloads.py`), `starter/` what was assembled from packages
(`starter.py`), `bundles/` and `made/` bundles and the models that they make (`bundles.py`), `hashes/` what is known of
files of a person's own (`known_hashes.py`), `used/` one mark for each model that was used before.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from runtime.config import cache_dir, load_user_config
from runtime.models.catalog import TEXT_TASKS, default_entry
from runtime.models.files import NoProgress, Progress
from runtime.models.model_files import ModelFile, ModelFiles, Offer
from runtime.models.name import LocalFile, Reference, parse_reference

if TYPE_CHECKING:
    from runtime.models.bundle_store import BundleStore
    from runtime.models.bundles import Bundle

__all__ = ["ModelFile", "Offer", "Progress", "Store"]


class Store:
    """Finds, fetches, lists and removes models under one folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else cache_dir() / "models"
        self._files = ModelFiles(self.root)

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
            return self._bundles.ready(bundle, progress or NoProgress(), download=download)
        return self._files.resolve(wanted, reference, progress, download=download)

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
            bundle: Bundle | None = self._bundles.pull(source, progress or NoProgress())
        else:
            bundle = self._bundles.meant(wanted, progress)
        if bundle is not None:
            return self._bundles.ready(bundle, progress or NoProgress())
        return self._files.pull(wanted, reference, progress)

    def offer(self, reference: str) -> ModelFile | Offer:
        """What `pull` would bring, of which nothing is fetched: the model itself where it need not be.

        Raises:
            ModelNotFound, InvalidRequest, DownloadFailed: as `pull`; and a bundle of the hub is not known before.
        """
        wanted = self._parse(reference)
        if (bundle := self._bundles.meant(wanted, None)) is not None:
            return self._bundles.offer(bundle)
        return self._files.offer(wanted, reference)

    def has_bundle(self, name: str) -> bool:
        """Whether a bundle of this name was pulled; its base may be gone."""
        return any(bundle.recipe.name == name.strip().casefold() for bundle in self._pulled())

    def shareable(self, model: ModelFile) -> str | None:
        """A reference that finds the very file on other machines; None for a file of a person's own."""
        return self._files.shareable(model)

    def sha256(self, model: ModelFile, progress: Progress) -> str:
        """The SHA-256 of a model's file, which is not read again where it is known.

        Raises:
            ModelFileInvalid: it cannot be read.
        """
        return self._bundles.sha256(model, progress)

    def installed(self) -> list[ModelFile]:
        """Models of this machine: installed starters (one in chunks may not be assembled yet), downloads, bundles."""
        return self._files.installed() + [self._bundles.file_of(bundle) for bundle in self._pulled()]

    def remove(self, reference: str) -> ModelFile:
        """Delete a downloaded model, a bundle, or the assembled copy of a starter; returns what was deleted.

        A bundle's base stays.

        Raises:
            ModelNotFound: it is not here.
            InvalidRequest: it is a person's own file, rides in a package, or several downloads fit.
        """
        wanted = self._parse(reference)
        bundle = None if isinstance(wanted, LocalFile) else self._bundles.meant(wanted, None)
        if bundle is None:
            return self._files.remove(wanted, reference)
        removed = self._bundles.file_of(bundle)
        self._bundles.here.delete(bundle)
        return removed

    def default_name(self) -> str:
        """The configured model, else a downloaded one (chat first), else a starter, else the catalogue's default.

        Curated models that give no text are no one's default, nor are bundles.
        """
        configured = load_user_config().default_model
        if configured:
            return configured
        models = [model for model in self._files.installed() if model.entry is None or model.entry.task in TEXT_TASKS]
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

    def check_new_name(self, name: str) -> None:
        """Refuse the name of a bundle that cannot be one, or that another model has.

        Raises:
            InvalidRequest: with what to do.
        """
        self._bundles.check_new_name(name)

    @cached_property
    def _bundles(self) -> BundleStore:
        from runtime.models.bundle_store import BundleStore

        return BundleStore(self.root, self._files)

    def _pulled(self) -> list[Bundle]:
        """The bundles that are here; without any, listing models need not import what reads them."""
        return self._bundles.here.all() if (self.root / "bundles").is_dir() else []

    def _parse(self, reference: str) -> Reference:
        return parse_reference(reference, [*self._files.names(), *(bundle.recipe.name for bundle in self._pulled())])
