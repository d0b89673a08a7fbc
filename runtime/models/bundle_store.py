"""Bundles by name, path or address, ready to be run: pulled, checked, and with the model that they make.

`Store` in `store.py` answers for all models and hands what is a bundle over; bases are found by `model_files.py`.
"""

from __future__ import annotations

from pathlib import Path

from runtime.errors import InvalidRequest, ModelFileInvalid, ModelNotFound
from runtime.models.bundle_sources import FolderSource, HubSource, Source, base_reference
from runtime.models.bundles import Bundle, Bundles, Origin
from runtime.models.catalog import load_catalog
from runtime.models.files import NoProgress, Progress
from runtime.models.known_hashes import KnownHashes
from runtime.models.model_files import ModelFile, ModelFiles, Offer
from runtime.models.name import CatalogName, HubFile, LocalFile, Reference, not_here, parse_reference
from runtime.models.recipe import Base, is_bundle_name, read_recipe


class BundleStore:
    """The bundles under one folder, and those of elsewhere as they are asked for."""

    def __init__(self, root: Path, files: ModelFiles) -> None:
        self.here = Bundles(root)
        self._hashes = KnownHashes(root / "hashes")
        self._files = files

    def open(self, path: Path, progress: Progress) -> Bundle:
        """A bundle that stays where it is, with each file checked.

        Raises:
            ModelFileInvalid, UnsupportedArchitecture: recipe or files are not sound.
        """
        recipe = read_recipe(path)
        origin = Origin(str(path.absolute()), base_reference(path.parent, recipe.base))
        return self.here.open(path, origin, progress)

    def meant(self, wanted: Reference, progress: Progress | None) -> Bundle | None:
        """The bundle that a reference means, with its files checked where they are a person's own; None for a model.

        Raises:
            ModelNotFound: it is one of the hub's that is not here, or there is no file.
            ModelFileInvalid, UnsupportedArchitecture: it is not sound.
        """
        match wanted:
            case LocalFile(path=path) if wanted.is_bundle:
                return self.open(_there(path), progress or NoProgress())
            case HubFile() if wanted.is_bundle:
                found = self.here.from_source(str(wanted))
                if found is None:
                    raise not_here(str(wanted), f"Run `demotic pull {wanted}`.")
                return found
            case CatalogName(name=name):
                return self.here.find(name)
        return None

    def source_of(self, wanted: Reference) -> Source | None:
        """Where to pull the bundle from that a reference means, one that is here from its origin; None for a model.

        None also for one of the hub that is here, where HF_HUB_OFFLINE forbids downloads.

        Raises:
            ModelNotFound: there is no file, or nothing of the kind on the hub.
            DownloadFailed: the hub cannot be asked.
        """
        if isinstance(wanted, CatalogName) and (here := self.here.find(wanted.name)) is not None:
            wanted = parse_reference(here.origin.source, ())
        if isinstance(wanted, LocalFile) and wanted.is_bundle:
            return FolderSource(_there(wanted.path))
        if isinstance(wanted, HubFile) and wanted.is_bundle:
            from runtime.models import hub

            if not hub.is_offline():
                return HubSource(wanted)
            if self.here.from_source(str(wanted)) is None:
                raise hub.offline(str(wanted))
        return None

    def model_of(self, bundle: Bundle, progress: Progress, *, download: bool = False) -> Path:
        """The GGUF that a bundle is run with: its base, or what it makes of that, made now where it is not here.

        Raises:
            ModelNotFound: the base is not here.
            ModelFileInvalid: it is another one than the recipe means, or the vocabulary is not for it.
            DownloadFailed, ConfigurationInvalid: it cannot be fetched, or nothing can be stored.
        """
        if bundle.made is not None and bundle.is_made and not download:
            return bundle.made
        base = self._base(bundle, progress, download=download)
        self._check_base(base, bundle.recipe.base, progress)
        self.here.make(bundle, base.path, progress)
        return bundle.made or base.path

    def ready(self, bundle: Bundle, progress: Progress, *, download: bool = False) -> ModelFile:
        """The bundle with the model that it is run with. Raises as `model_of`."""
        return self._file(bundle, self.model_of(bundle, progress, download=download))

    def file_of(self, bundle: Bundle) -> ModelFile:
        """The bundle with the path where the model that it is run with lies, or would."""
        base = self._base_here(bundle)
        here = base.path if base is not None else bundle.folder / bundle.recipe.base.reference
        return self._file(bundle, bundle.made or here)

    def offer(self, bundle: Bundle) -> ModelFile | Offer:
        """What pulling a bundle would bring beside its own files: its base, where that is not here."""
        if bundle.is_made or self._base_here(bundle) is not None:
            return self.file_of(bundle)
        return self._files.offer(self._base_reference(bundle), bundle.origin.base)

    def sha256(self, model: ModelFile, progress: Progress) -> str:
        """The SHA-256 of a model's file, which is not read again where it is known.

        Raises:
            ModelFileInvalid: it cannot be read.
        """
        if (known := self._files.known_sha256(model)) is not None:
            return known
        try:
            return self._hashes.sha256(model.path, progress)
        except OSError as fault:
            raise ModelFileInvalid(f"{model.path} cannot be read: {fault.strerror}.") from fault

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
        if name in self._files.names():
            raise InvalidRequest(
                f"The bundle is called '{name}', as another model is.", remedy="Make it with another --name."
            )

    def pull(self, source: Source, progress: Progress) -> Bundle:
        """Bring a bundle here, its base with it; whole, or not at all.

        Raises:
            ModelNotFound, DownloadFailed, ConfigurationInvalid: something cannot be fetched or stored.
            ModelFileInvalid, UnsupportedArchitecture: recipe, files or base are not what they should be.
            InvalidRequest: the name is taken.
        """
        with self.here.staging("pull") as folder:
            recipe_path = source.bring_recipe(folder, progress)
            recipe = read_recipe(recipe_path)
            origin = source.origin(recipe)
            self._check_free(recipe.name, origin.source)
            for part in recipe.parts:
                target = folder / part.file
                target.parent.mkdir(parents=True, exist_ok=True)
                source.bring(part, target, progress)
            staged = self.here.open(recipe_path, origin, progress)
            was_made = staged.is_made
            try:
                self._check_fit(staged, self.model_of(staged, progress, download=True))
                return self.here.accept(folder, recipe, origin)
            except BaseException:
                if not was_made:
                    self.here.drop(staged.made)
                raise

    def _check_free(self, name: str, source: str) -> None:
        """Refuse to pull a bundle under a name that something else has. Raises InvalidRequest with what to do."""
        self.check_new_name(name)
        here = self.here.find(name)
        if here is not None and here.origin.source != source:
            raise InvalidRequest(
                f"A bundle '{name}' from {here.origin.source} is here already.",
                remedy=f"Run `demotic remove {name}` first.",
            )

    def _base_reference(self, bundle: Bundle) -> Reference:
        return parse_reference(bundle.origin.base, self._files.names())

    def _base(self, bundle: Bundle, progress: Progress, *, download: bool) -> ModelFile:
        """The base of a bundle, fetched where it may be."""
        text = bundle.origin.base
        base = self._files.resolve(self._base_reference(bundle), text, progress, download=download)
        if not base.path.is_file():
            raise ModelFileInvalid(f"{text} is no GGUF, so it is no base.", remedy="Make the bundle anew.")
        return base

    def _base_here(self, bundle: Bundle) -> ModelFile | None:
        """The base of a bundle, without making or fetching anything; None where it is not known here."""
        try:
            return self._files.find(self._base_reference(bundle), bundle.origin.base)
        except (InvalidRequest, ModelNotFound):
            return None

    def _file(self, bundle: Bundle, path: Path) -> ModelFile:
        base = self._base_here(bundle)
        license_name = bundle.recipe.license or (base.license if base is not None else None)
        entry = base.entry if base is not None else load_catalog().get(bundle.recipe.base.reference)
        return ModelFile(bundle.recipe.name, path, entry, "bundle", license_name, bundle=bundle)

    def _check_base(self, model: ModelFile, base: Base, progress: Progress) -> None:
        """Refuse another base than the recipe means; a file that was checked before is not read again."""
        path = model.path
        try:
            size = path.stat().st_size
        except OSError as fault:
            raise ModelFileInvalid(f"{path} cannot be read: {fault.strerror}.") from fault
        found = self.sha256(model, progress) if size == base.size else None
        if (size, found) != (base.size, base.sha256):
            what = f"{size} bytes" if found is None else f"the SHA-256 {found}"
            meant = f"{base.size}" if found is None else base.sha256
            raise ModelFileInvalid(
                f"{path} is not the base that the bundle was made with: it has {what}, not {meant}.",
                remedy=f"Get the very file: {base.reference}.",
            )

    def _check_fit(self, bundle: Bundle, model: Path) -> None:
        from runtime.models.adapter import check_adapter
        from runtime.models.inspect import check_loadable, read_header

        header = read_header(model)
        check_loadable(header)
        if bundle.adapter is not None:
            check_adapter(bundle.adapter, header)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise ModelNotFound(str(path), remedy="No file lies at this path.")
    return path
