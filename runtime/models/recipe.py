"""The recipe of a bundle: a base, and what makes it a model for a language, each file with its hash.

`NAME.bundle.json` beside its files; docs/bundles.md describes each entry. `converters/bundles/pack.py` writes it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from runtime.errors import InvalidRequest, ModelFileInvalid, ModelNotFound, UnsupportedArchitecture
from runtime.language.codes import parse
from runtime.models.catalog import load_catalog
from runtime.models.files import Progress, told_sha256
from runtime.models.name import (
    BUNDLE_SUFFIX,
    HUB_PREFIX,
    MODEL_SUFFIX,
    HubFile,
    LocalFile,
    is_safe_file,
    parse_reference,
)

FORMAT = 1
ORIGIN_FILE = "origin.json"  # what is told of a bundle that was pulled, beside its own files
MAX_BYTES = 2**20  # of a recipe, a template, an evaluation
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_MAX_NAME = 96

Digest: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Size: TypeAlias = Annotated[int, Meta(ge=1, le=2**50)]
FileName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=512)]
_Text: TypeAlias = Annotated[str, Meta(max_length=4096)]
_Prompt: TypeAlias = Annotated[str, Meta(max_length=65_536)]
_Template: TypeAlias = Annotated[str, Meta(max_length=MAX_BYTES)]
_Label: TypeAlias = Annotated[str, Meta(max_length=80)]
_Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
_Temperature: TypeAlias = Annotated[float, Meta(ge=0, le=2)]
_Penalty: TypeAlias = Annotated[float, Meta(ge=-2, le=2)]
_Repetition: TypeAlias = Annotated[float, Meta(gt=0, le=1000)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the bundle, by its path from the recipe's folder; `size` in bytes."""

    file: FileName
    sha256: Digest
    size: Size


class Base(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that the bundle changes: of the catalogue, of the hub, or a GGUF in the recipe's folder."""

    reference: FileName
    sha256: Digest
    size: Size


class Vocabulary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of `vocabulary_part.py`, and the model that it makes of the base: its rows, SHA-256 and size."""

    file: FileName
    sha256: Digest
    size: Size
    rows: Annotated[int, Meta(ge=1, le=2**24)]
    made_sha256: Digest
    made_size: Size


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a request gets that says nothing else; names and ranges are those of the API.

    language, scripts, mode: what answers are kept in. system: the system message of a conversation without one.
    """

    language: _Label | None = None
    scripts: Annotated[tuple[_Label, ...], Meta(max_length=16)] = ()
    mode: Literal["soft", "hard"] | None = None
    system: _Prompt | None = None
    temperature: _Temperature | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    top_p: _Share | None = None
    min_p: _Share | None = None
    repetition_penalty: _Repetition | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None

    def options(self) -> dict[str, Any]:
        """Those that are set, but for the system message, by the names that requests have for them."""
        values = {name: getattr(self, name) for name in self.__struct_fields__ if name != "system"}
        return {name: value for name, value in values.items() if value not in (None, ())}


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A bundle. `template` is the Jinja source of a chat template, or a file with it."""

    format: int
    name: Annotated[str, Meta(max_length=_MAX_NAME)]
    base: Base
    description: _Text = ""
    license: _Label | None = None
    languages: Annotated[tuple[_Label, ...], Meta(max_length=400)] = ()
    adapter: Part | None = None
    vocabulary: Vocabulary | None = None
    template: _Template | Part | None = None
    defaults: Defaults = Defaults()
    evaluation: Part | None = None

    @property
    def parts(self) -> tuple[Part | Vocabulary, ...]:
        """The files that belong to it, beside the base."""
        template = self.template if isinstance(self.template, Part) else None
        found = (self.adapter, self.vocabulary, template, self.evaluation)
        return tuple(part for part in found if part is not None)

    @property
    def local_base(self) -> str | None:
        """The base's path from the recipe's folder; None where it is of the hub or of the catalogue."""
        return self.base.reference if is_local(self.base.reference) else None


def is_local(reference: str) -> bool:
    """Whether the reference of a base is a path, and no name and none of the hub's."""
    is_hub = reference[: len(HUB_PREFIX)].casefold() == HUB_PREFIX
    return not is_hub and reference.casefold().endswith(MODEL_SUFFIX)


def is_bundle_name(name: str) -> bool:
    """Whether a bundle may be called so: lower-case letters and digits, with dots, dashes and underscores between."""
    return _NAME.fullmatch(name) is not None and len(name) <= _MAX_NAME


def read_recipe(path: Path) -> Recipe:
    """Read a recipe and check what it says; its files are not looked at.

    Raises:
        ModelFileInvalid: it cannot be read, breaks the format, or names files outside of its folder.
        UnsupportedArchitecture: it is of a later format.
    """
    data = read_small(path)
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("format")
        if isinstance(version, int) and version > FORMAT:
            raise UnsupportedArchitecture(
                f"{path} is of format {version}; this demotic knows {FORMAT}.", remedy="Install a newer demotic."
            )
        recipe = msgspec.json.decode(data, type=Recipe)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise broken(path, f"breaks the format: {fault}") from fault
    if recipe.format != FORMAT:
        raise broken(path, f"is of format {recipe.format}, which there is not")
    check_recipe(recipe, path)
    return recipe


def check_recipe(recipe: Recipe, path: Path) -> None:
    """Refuse a recipe that contradicts itself, or reaches outside of its folder.

    Raises:
        ModelFileInvalid: with the entry at fault.
    """
    if not is_bundle_name(recipe.name):
        raise broken(path, f"has the name {recipe.name!r:.100}, which is not one of letters, digits, dots and dashes")
    files = [part.file for part in recipe.parts]
    for name in [*files, *([recipe.local_base] if recipe.local_base is not None else [])]:
        if not is_safe_file(name):
            raise broken(path, f"names the file {name!r:.80}, which is not in its folder")
        if name.casefold().endswith(BUNDLE_SUFFIX):
            raise broken(path, f"names {name!r:.80}, which is another bundle")
        if name.casefold() == ORIGIN_FILE:
            raise broken(path, f"names {name!r:.80}, which is what is told of it where it is pulled")
    if len(set(files)) != len(files):
        raise broken(path, "names one file for two things")
    if recipe.local_base is None:
        _check_reference(recipe.base.reference, path)
    _check_languages(recipe, path)


def _check_reference(reference: str, path: Path) -> None:
    try:
        # A name that only this machine knows means nothing elsewhere.
        known = parse_reference(reference, load_catalog())
    except (InvalidRequest, ModelNotFound) as fault:
        raise broken(path, f"has a base that cannot be: {fault.message.rstrip('.')}") from fault
    if isinstance(known, LocalFile) or (isinstance(known, HubFile) and not is_model(known.file)):
        raise broken(path, f"has the base {reference!r:.100}, which names no GGUF file")


def is_model(file: str | None) -> bool:
    """Whether a file of the hub is named, and is a model by its name."""
    return file is not None and file.casefold().endswith(MODEL_SUFFIX)


def _check_languages(recipe: Recipe, path: Path) -> None:
    # Tables of characters, which listing models has no need of where there is no bundle.
    from runtime.language.lock import AUTO
    from runtime.language.scripts import to_scripts

    defaults = recipe.defaults
    named = () if defaults.language in {None, AUTO} else (defaults.language,)
    try:
        for language in (*recipe.languages, *named):
            parse(str(language), param="languages")
        to_scripts(defaults.scripts)
    except InvalidRequest as fault:
        raise broken(path, f"names what there is not: {fault.message.rstrip('.')}") from fault
    if defaults.mode is not None and not (defaults.language or defaults.scripts):
        raise broken(path, "has a mode of keeping to a language, and neither 'language' nor 'scripts'")


def check_part(folder: Path, part: Part | Vocabulary, recipe: Path, progress: Progress) -> Path:
    """The path of a bundle's file, whose size and hash are as the recipe says.

    Raises:
        ModelFileInvalid: it is not there, outside of the folder, or another one.
    """
    path = folder / part.file
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise broken(recipe, f"names {part.file!r:.80}, which is a link out of its folder")
        size = path.stat().st_size
    except OSError as fault:
        raise broken(recipe, f"needs {part.file}, which is not there", "Get the bundle again.") from fault
    check_bytes(path, size, part.size, part.sha256, progress)
    return path


def check_bytes(path: Path, size: int, wanted_size: int, wanted: str, progress: Progress) -> None:
    """Refuse a file that is another one than a recipe means.

    Raises:
        ModelFileInvalid: with both hashes.
    """
    remedy = "Get the file that the bundle was made with, or make the bundle anew."
    if size != wanted_size:
        raise ModelFileInvalid(f"{path} has {size} bytes, and the bundle means one of {wanted_size}.", remedy=remedy)
    try:
        found = told_sha256(path, progress)
    except OSError as fault:
        raise ModelFileInvalid(f"{path} cannot be read: {fault.strerror}.") from fault
    if found != wanted:
        raise ModelFileInvalid(f"{path} has the SHA-256 {found}, and the bundle means {wanted}.", remedy=remedy)


def read_small(path: Path) -> bytes:
    """The bytes of a recipe, a template or an evaluation.

    Raises:
        ModelFileInvalid: it cannot be read, or is too large to be one.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise broken(path, f"is larger than {MAX_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as fault:
        raise broken(path, f"cannot be read: {fault.strerror}") from fault


def write_recipe(recipe: Recipe) -> str:
    """The text of a recipe's file."""
    return msgspec.json.format(msgspec.json.encode(recipe), indent=2).decode() + "\n"


def broken(path: Path, fault: str, remedy: str = "Make the bundle anew: demotic bundle.") -> ModelFileInvalid:
    """Make the error whose sentence is the path and `fault`."""
    return ModelFileInvalid(f"{path} {fault}.", remedy=remedy)
