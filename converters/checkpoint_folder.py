"""A checkpoint written as a folder that transformers loads and `demotic convert` reads: weights, config, tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from converters.card import CARD_FILE, Card, read_card
from converters.checkpoint import ADAPTER_CONFIG, CONFIG_FILE, TOKENIZER_FILE, Checkpoint, read_json
from converters.files import require_free_folder, require_space
from converters.tensors import Tensor
from converters.tokenizer_source import ALL_FILES
from converters.weights.write import weights_size, write_weights
from runtime.errors import InvalidRequest
from runtime.models.files import Progress
from runtime.models.onnx_folder import MANIFEST_FILE

# What is copied of a folder: settings, tokenizers and templates, and what a licence wants to travel with the weights.
_SUFFIXES = frozenset({".json", ".model", ".txt", ".jinja", ".spm", ".tiktoken"})
_LEGAL = ("license", "licence", "notice", "copying", "use_policy")
_NEVER = frozenset({CONFIG_FILE, ADAPTER_CONFIG, MANIFEST_FILE, CARD_FILE})
_MODULES_FILE, _TEMPLATES = "modules.json", "additional_chat_templates"


@dataclass(frozen=True)
class Contents:
    """What a folder is to hold.

    config: all of config.json.
    files: the others by their names, which may be in folders: a file to copy, or the text itself.
    """

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    files: Mapping[str, Path | str] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """About what it takes on the disk."""
        files = self.files.values()
        return weights_size(self.tensors) + sum(
            each.stat().st_size if isinstance(each, Path) else len(each.encode()) for each in files
        )


def contents_of(checkpoint: Checkpoint, changes: Mapping[str, Any] | None = None, card: Card | None = None) -> Contents:
    """The checkpoint as it is to be written: its tensors, its files, and its config with `changes`.

    card: what the model card tells; None for the source's own.

    Raises:
        ConversionRefused: a file is damaged.
    """
    # What is null in the file stays so: the checkpoint's own values leave it out.
    config = {**read_json(checkpoint.folder / CONFIG_FILE), **checkpoint.config.values, **(changes or {})}
    tokenizer_folder = checkpoint.path(TOKENIZER_FILE).parent
    files: dict[str, Path | str] = {
        name: path for name, path in _kept(checkpoint.folder).items() if Path(name).name not in ALL_FILES
    }
    files |= {name: path for name, path in _kept(tokenizer_folder).items() if Path(name).name in ALL_FILES}
    files[CARD_FILE] = (card or read_card(checkpoint.folder, checkpoint.origin)).as_markdown()
    return Contents(checkpoint.tensors, config, files)


def _kept(folder: Path) -> dict[str, Path]:
    """The files beside the weights that say how a model is used, by their names under `folder`."""
    found = {path.name: path for path in sorted(folder.iterdir()) if path.is_file() and _is_kept(path)}
    for name in _subfolders(folder):
        below = sorted(path for path in (folder / name).rglob("*") if path.is_file())
        found |= {path.relative_to(folder).as_posix(): path for path in below}
    return found


def _is_kept(path: Path) -> bool:
    name = path.name.casefold()
    if name in _NEVER or path.name in _NEVER or name.endswith(".index.json") or name.startswith("."):
        return False
    return path.suffix in _SUFFIXES or name.startswith(_LEGAL)


def _subfolders(folder: Path) -> list[str]:
    """Further templates, and the modules that sentence-transformers puts behind a model."""
    modules = folder / _MODULES_FILE
    listed: Any = json.loads(modules.read_text(encoding="utf-8")) if modules.is_file() else []
    names = [each.get("path") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    inside = [str(name) for name in (*names, _TEMPLATES) if name and Path(str(name)).name == name]
    return [name for name in inside if (folder / name).is_dir()]


def require_target(path: Path, contents: Contents, sources: Iterable[Path], *, force: bool) -> None:
    """Refuse a folder that is taken, that would overwrite what is read, or that the disk has no room for.

    Raises:
        InvalidRequest, ConversionRefused: with what to do.
    """
    target = path.resolve()
    if any(source.resolve().is_relative_to(target) for source in sources):
        raise InvalidRequest(f"{path} is a folder to read from.", remedy="Choose another name with -o.")
    require_free_folder(path, force=force, mark=MANIFEST_FILE)
    require_space(target, contents.num_bytes)


def write_contents(folder: Path, contents: Contents, progress: Progress, *, title: str) -> None:
    """Write all of it into an empty folder that will have the name `title`; its manifest comes last, by the caller.

    Raises:
        ConversionRefused: a value cannot be stored.
        OSError: the disk refuses a file.
    """
    write_weights(folder, contents.tensors, progress, title=title)
    text = json.dumps(contents.config, ensure_ascii=False, indent=2) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    copy_files(folder, contents.files)


def copy_files(folder: Path, files: Mapping[str, Path | str]) -> None:
    """Write files by their names, which may be in folders: each a file to copy, or the text itself."""
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            shutil.copyfile(source, target)
        else:
            target.write_text(source, encoding="utf-8")
