"""The bundles of this machine: recipes with their files, and the models that were made for them.

Under `bundles/` each has a folder: recipe and files as they were checked, and `origin.json`, which tells where they
came from and where the base is. `made/` holds models that bundles make of their bases, by their SHA-256: those with the
same vocabulary have one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from runtime.errors import DemoticError, ModelFileInvalid
from runtime.models.files import NoProgress, Progress, locked, storage_fault
from runtime.models.name import BUNDLE_SUFFIX
from runtime.models.recipe import (
    ORIGIN_FILE,
    Part,
    Recipe,
    broken,
    check_bytes,
    check_part,
    read_recipe,
    read_small,
)


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a bundle came from, and a reference that this machine finds its base by."""

    source: str
    base: str


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files lie in `folder`; `made` is the model that it makes of its base, if it does.

    That model may have to be made yet.
    """

    recipe: Recipe
    folder: Path
    origin: Origin
    made: Path | None

    @property
    def adapter(self) -> Path | None:
        """The LoRA that answers are computed with."""
        return None if self.recipe.adapter is None else self.folder / self.recipe.adapter.file

    @property
    def adapter_key(self) -> str | None:
        """The name of its adapter in a worker: that of the bytes, so that bundles may share it, and of no other."""
        return None if self.recipe.adapter is None else f"sha256:{self.recipe.adapter.sha256}"

    @cached_property
    def template(self) -> str | None:
        """The source of its chat template; None for that of the model.

        Raises:
            ModelFileInvalid: it cannot be read.
        """
        template = self.recipe.template
        if not isinstance(template, Part):
            return template
        path = self.folder / template.file
        try:
            return read_small(path).decode()
        except UnicodeDecodeError as fault:
            raise broken(path, "is not UTF-8") from fault

    @property
    def evaluation(self) -> dict[str, dict[str, float]]:
        """The figures of its evaluation by language and measure; none where it has none.

        Raises:
            ModelFileInvalid: they cannot be read.
        """
        part = self.recipe.evaluation
        return {} if part is None else read_evaluation(self.folder / part.file)

    @property
    def is_made(self) -> bool:
        """Whether the model that it makes is here."""
        vocabulary = self.recipe.vocabulary
        return self.made is not None and vocabulary is not None and is_of_size(self.made, vocabulary.made_size)

    @property
    def size_bytes(self) -> int:
        """What it takes beside its base: its files, and the model that it makes."""
        made = self.recipe.vocabulary.made_size if self.recipe.vocabulary is not None else 0
        return made + sum(part.size for part in self.recipe.parts)


class _Evaluation(msgspec.Struct, frozen=True):
    """What is read of a file of figures; whatever else it tells is left to those who open it."""

    languages: dict[str, dict[str, float]]


def read_evaluation(path: Path) -> dict[str, dict[str, float]]:
    """Figures by language and measure.

    Raises:
        ModelFileInvalid: the file cannot be read, or has none.
    """
    try:
        return msgspec.json.decode(read_small(path), type=_Evaluation).languages
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise broken(path, f"has no figures by language: {fault}") from fault


class Bundles:
    """Those under one folder."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "bundles"
        self._made = root / "made"

    def all(self) -> list[Bundle]:
        """Every bundle that was pulled, by name; damaged ones count as none."""
        found = (self._stored(path) for path in sorted(self._folder.glob(f"[!.]*/*{BUNDLE_SUFFIX}")))
        return [bundle for bundle in found if bundle is not None]

    def find(self, name: str) -> Bundle | None:
        """The one of this name."""
        return next((bundle for bundle in self.all() if bundle.recipe.name == name), None)

    def from_source(self, source: str) -> Bundle | None:
        """The one that was pulled from there."""
        return next((bundle for bundle in self.all() if bundle.origin.source == source), None)

    def open(self, path: Path, origin: Origin, progress: Progress) -> Bundle:
        """The bundle whose recipe is at `path`, with each file checked.

        Raises:
            ModelFileInvalid, UnsupportedArchitecture: recipe or files are not sound.
        """
        recipe = read_recipe(path)
        for part in recipe.parts:
            check_part(path.parent, part, path, progress)
        return self._bundle(recipe, path.parent, origin)

    def make(self, bundle: Bundle, base: Path, progress: Progress) -> None:
        """Make the model of a bundle, where it is not the base itself and not here; whole, or not at all.

        Raises:
            ModelFileInvalid: base and vocabulary do not belong together, or make another model than the recipe says.
            DownloadFailed, ConfigurationInvalid: the disk has no room, or refuses the file.
        """
        vocabulary = bundle.recipe.vocabulary
        if vocabulary is None or bundle.made is None or bundle.is_made:
            return
        from runtime.models.vocabulary_part import make_model

        target = bundle.made
        temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
        title = f"the model of {bundle.recipe.name}"
        try:
            with locked(self._made / ".lock"):
                part, limit = bundle.folder / vocabulary.file, vocabulary.made_size
                make_model(temporary, base, part, progress, title=title, max_bytes=limit)
                size = temporary.stat().st_size
                check_bytes(temporary, size, vocabulary.made_size, vocabulary.made_sha256, NoProgress())
                temporary.replace(target)
        except OSError as fault:
            raise storage_fault(fault, target) from fault
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """An empty folder to put the files of a bundle into; whatever is not accepted is gone at the end."""
        folder = self._folder / f".{name}.{os.getpid()}.partial"
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            yield folder
        except OSError as fault:
            raise storage_fault(fault, folder) from fault
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def accept(self, staged: Path, recipe: Recipe, origin: Origin) -> Bundle:
        """Give the staged files of a bundle their name, in place of what is there under it."""
        (staged / ORIGIN_FILE).write_bytes(msgspec.json.encode(origin))
        folder, old = self._folder / recipe.name, self.find(recipe.name)
        before = self._folder / f".{recipe.name}.{os.getpid()}.before"
        with locked(self._folder / ".lock"):
            if folder.exists():
                folder.replace(before)
            try:
                staged.replace(folder)
            except BaseException:
                if before.exists():
                    before.replace(folder)
                raise
            shutil.rmtree(before, ignore_errors=True)
        found = self.find(recipe.name)
        if found is None:
            raise ModelFileInvalid(
                f"The bundle {recipe.name} was damaged while it was stored.", remedy="Pull it again."
            )
        if old is not None:
            self.drop(old.made)
        return found

    def delete(self, bundle: Bundle) -> None:
        """Delete a bundle that was pulled, and the model made for it, unless another one is run with that."""
        shutil.rmtree(bundle.folder)
        self.drop(bundle.made)

    def drop(self, made: Path | None) -> None:
        """Delete a model that was made, unless a bundle that was pulled is run with it."""
        if made is not None and all(bundle.made != made for bundle in self.all()):
            made.unlink(missing_ok=True)

    def _stored(self, path: Path) -> Bundle | None:
        try:
            recipe = read_recipe(path)
            origin = msgspec.json.decode(read_small(path.with_name(ORIGIN_FILE)), type=Origin)
        except (DemoticError, msgspec.MsgspecError):
            return None
        is_whole = all(is_of_size(path.parent / part.file, part.size) for part in recipe.parts)
        is_whole = is_whole and recipe.name == path.parent.name
        return self._bundle(recipe, path.parent, origin) if is_whole else None

    def _bundle(self, recipe: Recipe, folder: Path, origin: Origin) -> Bundle:
        vocabulary = recipe.vocabulary
        made = None if vocabulary is None else self._made / f"{vocabulary.made_sha256}.gguf"
        return Bundle(recipe, folder, origin, made)


def is_of_size(path: Path, size: int) -> bool:
    """Whether a file is there whole: what has its name was checked before it got it."""
    try:
        return path.stat().st_size == size
    except OSError:
        return False
