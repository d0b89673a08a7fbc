"""What a person types for a model, read into one of three references.

- `./models/mine.gguf`, `mine.gguf`: a file on this machine; or a folder of ONNX graphs, or the recipe of a bundle.
- `qwen3-0.6b`: a name, of the catalogue or of a model or a bundle that was pulled before.
- `hf:org/repo[@revision][:file-or-quantization]`: a file on the model hub.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InvalidRequest, ModelNotFound

HUB_PREFIX = "hf:"
MODEL_SUFFIX = ".gguf"
BUNDLE_SUFFIX = ".bundle.json"
_FILE_SUFFIXES = (MODEL_SUFFIX, BUNDLE_SUFFIX)
SETTINGS_FILE = "demotic.json"  # in every folder of graphs that demotic exported
CONFIG_FILE, GRAPHS_FOLDER = "config.json", "onnx"  # of one that optimum exported, and of many on the hub

# What the hub itself allows: no '--' and no '..' in names, at most 96 characters each.
_HUB_NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}")
_QUANTIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_CHARS = 4096
_SEE_LIST = "See `demotic list`."


@dataclass(frozen=True)
class LocalFile:
    """A file, or a folder of graphs, named by its path; it may not exist."""

    path: Path

    @property
    def is_bundle(self) -> bool:
        """Whether it is the recipe of a bundle, by its name."""
        return self.path.name.casefold().endswith(BUNDLE_SUFFIX)


@dataclass(frozen=True)
class CatalogName:
    """A name that is known: of the catalogue, or of a model or a bundle that was pulled before."""

    name: str


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the hub; with neither `file` nor `quantization` the choice is left to us."""

    repo: str
    revision: str | None = None
    file: str | None = None
    quantization: str | None = None

    @property
    def is_bundle(self) -> bool:
        """Whether its file is the recipe of a bundle, by its name."""
        return (self.file or "").casefold().endswith(BUNDLE_SUFFIX)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        tail = self.file or self.quantization
        return f"{HUB_PREFIX}{self.repo}{revision}{f':{tail}' if tail else ''}"


Reference = LocalFile | CatalogName | HubFile


def parse_reference(text: str, catalog_names: Iterable[str]) -> Reference:
    """Read what a person typed for a model.

    A known name wins over a file of that name in the working folder; './name' means the file.

    Raises:
        InvalidRequest: a broken hub reference.
        ModelNotFound: it is none of the three; the nearest known names are offered.
    """
    text = text.strip()
    if not text or len(text) > _MAX_CHARS or _CONTROL.search(text):
        raise ModelNotFound(_CONTROL.sub(" ", text[:80]), remedy=_SEE_LIST)
    if text[: len(HUB_PREFIX)].casefold() == HUB_PREFIX:
        return _parse_hub(text)
    path = Path(text)
    if text.casefold().endswith(_FILE_SUFFIXES):
        return LocalFile(path.expanduser())
    if "/" in text or "\\" in text:
        if " " in text and not _is_file(path):  # a sentence with a slash, not a path
            raise ModelNotFound(text[:80], remedy=_SEE_LIST)
        return LocalFile(path.expanduser())
    names = list(catalog_names)
    for name in names:
        if name.casefold() == text.casefold():
            return CatalogName(name)
    if _is_file(path) or is_model_folder(path):
        return LocalFile(path)
    raise ModelNotFound(text[:80], nearest=nearest_names(text, names), remedy=_SEE_LIST)


def nearest_names(text: str, names: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Known names that look like `text`, the likeliest first; upper and lower case are the same."""
    by_folded = {name.casefold(): name for name in names}
    wanted = text.casefold()
    near = difflib.get_close_matches(wanted, by_folded, n=limit, cutoff=0.6)
    near += [name for name in by_folded if len(wanted) >= 3 and name.startswith(wanted)]
    return tuple(by_folded[name] for name in dict.fromkeys(near))[:limit]


def not_here(name: str, remedy: str) -> ModelNotFound:
    """The error for a model that is known, and not on this machine."""
    fault = ModelNotFound(name, remedy=remedy)
    fault.message = f"The model '{name}' is not on this machine."
    return fault


def is_safe_file(name: str) -> bool:
    """Whether a file name from a person or from the hub stays inside the folder it is joined to."""
    parts = name.split("/")
    return (
        0 < len(name) <= 512
        and not _CONTROL.search(name)
        and "\\" not in name
        and ":" not in name
        and all(part not in {"", ".", ".."} and len(part.encode()) <= 200 for part in parts)
    )


def is_hub_repository(text: str) -> bool:
    """Whether the text has the form org/repo of the hub."""
    parts = text.split("/")
    return len(parts) == 2 and all(_HUB_NAME.fullmatch(part) for part in parts)


def _parse_hub(text: str) -> HubFile:
    left, _, tail = text[len(HUB_PREFIX) :].partition(":")
    repo, at, revision = left.partition("@")
    has_tail = left != text[len(HUB_PREFIX) :]
    is_file = tail.casefold().endswith(_FILE_SUFFIXES)
    sound = (
        is_hub_repository(repo)
        and (not at or (_REVISION.fullmatch(revision) is not None and ".." not in revision))
        and (not has_tail or (is_safe_file(tail) if is_file else _QUANTIZATION.fullmatch(tail) is not None))
    )
    if not sound:
        raise InvalidRequest(
            f"{text[:200]!r} does not name a model on the hub.",
            remedy=f"Write {HUB_PREFIX}org/repo[@revision][:file.gguf or quantization].",
            param="model",
        )
    return HubFile(
        repo=repo,
        revision=revision or None,
        file=tail if is_file else None,
        quantization=tail if tail and not is_file else None,
    )


def is_model_folder(path: Path) -> bool:
    """Whether this is a folder of ONNX graphs with the settings that are needed to run them, or one of optimum's."""
    return _is_file(path / SETTINGS_FILE) or is_optimum_folder(path)


def is_optimum_folder(path: Path) -> bool:
    """Whether this is a folder of ONNX graphs beside the files that transformers saves, and without our settings."""
    if _is_file(path / SETTINGS_FILE) or not _is_file(path / CONFIG_FILE):
        return False
    return any(next(folder.glob("*.onnx"), None) is not None for folder in (path, path / GRAPHS_FOLDER))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False
