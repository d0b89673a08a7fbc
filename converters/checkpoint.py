"""A checkpoint: a folder, or a repository of the hub, with a config.json and weights in one of three formats.

Nothing of the weights is read here; each tensor is read when the artefact is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.config import Config
from converters.tensors import Tensor
from runtime.errors import ConversionRefused, InvalidRequest, ModelNotFound
from runtime.models.files import NoProgress, Progress
from runtime.models.name import HUB_PREFIX, HubFile, is_hub_repository, parse_reference

CONFIG_FILE = "config.json"

# What weights are called, the best first: of one file, and of the table of several.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "flax_model.msgpack")
_INDEX_SUFFIX = ".index.json"
_GET_AGAIN = "Get the checkpoint again."


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint comes from; `revision` is the hub's commit, `license` what the hub says."""

    source: str
    revision: str | None = None
    license: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are on this machine."""

    folder: Path
    origin: Origin
    config: Config
    weight_files: tuple[Path, ...]
    tensors: dict[str, Tensor]

    @property
    def name(self) -> str:
        """A name for the model: the repository's, else the folder's."""
        return self.origin.source.removeprefix(HUB_PREFIX).rstrip("/").rsplit("/", 1)[-1].partition("@")[0] or "model"

    def json(self, file: str) -> dict[str, Any]:
        """The object in one of the folder's JSON files; an empty one where there is no such file."""
        return read_json(self.folder / file) if (self.folder / file).is_file() else {}


def open_checkpoint(source: str, progress: Progress | None = None) -> Checkpoint:
    """Find a checkpoint's files, fetching them where they are on the hub, and read the tables of its weights.

    Raises:
        ModelNotFound: there is no such folder or repository.
        ConversionRefused: a file is missing, damaged, or wants to run code.
        DownloadFailed, ConfigurationInvalid: the hub or the cache fails.
    """
    folder, origin = _locate(source, progress or NoProgress())
    if not (folder / CONFIG_FILE).is_file():
        raise ConversionRefused(
            f"{folder} has no {CONFIG_FILE}, so it is no checkpoint.",
            remedy="Give the folder that holds config.json, the weights and the tokenizer.",
        )
    config = Config(read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE))
    files, tensors = _weights(folder)
    return Checkpoint(folder, origin, config, files, tensors)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ConversionRefused: it holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ConversionRefused(f"{path} is damaged: {fault}.", remedy=_GET_AGAIN) from fault
    if not isinstance(values, dict):
        raise ConversionRefused(f"{path} is damaged: it holds no JSON object.", remedy=_GET_AGAIN)
    return values


def choose_weights(names: set[str]) -> str | None:
    """Which of a folder's files to read the weights from: one file, or the index of several; None without any."""
    for name in WEIGHT_FILES:
        for file in (name + _INDEX_SUFFIX, name):
            if file in names:
                return file
    others = sorted(name for name in names if name.endswith(".safetensors") and "/" not in name)
    return others[0] if len(others) == 1 and not others[0].startswith("adapter") else None


def shards_of(index: dict[str, Any], where: str) -> dict[str, list[str]]:
    """The files that an index names, with the tensors each should hold."""
    shards: dict[str, list[str]] = {}
    table = index.get("weight_map")
    if not isinstance(table, dict) or not table:
        raise ConversionRefused(f"{where} is damaged: it names no files.", remedy=_GET_AGAIN)
    for tensor, file in table.items():
        if not isinstance(file, str) or "/" in file or file.startswith("."):
            raise ConversionRefused(f"{where} names a file outside of its folder: {file!r:.80}.")
        shards.setdefault(file, []).append(tensor)
    return shards


def _locate(source: str, progress: Progress) -> tuple[Path, Origin]:
    if source[: len(HUB_PREFIX)].casefold() == HUB_PREFIX:
        wanted = parse_reference(source, ())
        if not isinstance(wanted, HubFile) or wanted.file or wanted.quantization:
            raise InvalidRequest(
                f"{source} names one file; a checkpoint is a whole repository.",
                remedy=f"Write {HUB_PREFIX}org/repo[@revision].",
            )
        from converters.fetch import fetch

        folder, repository = fetch(wanted, progress)
        return folder, Origin(f"{HUB_PREFIX}{repository.repo}", repository.commit, repository.license)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        hint = f"For a checkpoint of the hub write {HUB_PREFIX}{source}." if is_hub_repository(source) else ""
        raise ModelNotFound(source, remedy=hint or "Give the folder of a checkpoint, or hf:org/repo.")
    return folder, Origin(folder.resolve().name)


def _weights(folder: Path) -> tuple[tuple[Path, ...], dict[str, Tensor]]:
    chosen = choose_weights({path.name for path in folder.iterdir()})
    if chosen is None:
        raise ConversionRefused(
            f"{folder} has no weights: none of {', '.join(WEIGHT_FILES)}, nor an index of their parts.",
            remedy="Get the checkpoint as safetensors.",
        )
    if not chosen.endswith(_INDEX_SUFFIX):
        path = folder / chosen
        return (path,), _reader(chosen)(path)
    shards = shards_of(read_json(folder / chosen), str(folder / chosen))
    if missing := sorted(file for file in shards if not (folder / file).is_file()):
        raise ConversionRefused(
            f"{folder} lacks {len(missing)} of the {len(shards)} files of its weights: {', '.join(missing[:5])}.",
            remedy="Get the missing files.",
        )
    tensors: dict[str, Tensor] = {}
    for file, names in sorted(shards.items()):
        found = _reader(file)(folder / file)
        tensors |= found
        if absent := [name for name in names if name not in found] if not file.endswith(".msgpack") else []:
            raise ConversionRefused(
                f"{folder / file} lacks '{absent[0]}', which the index says it holds.", remedy="Get this file again."
            )
    return tuple(folder / file for file in sorted(shards)), tensors


def _reader(file: str) -> Callable[[Path], dict[str, Tensor]]:
    if file.endswith(".safetensors"):
        from converters.weights.safetensors import read_safetensors

        return read_safetensors
    if file.endswith(".msgpack"):
        from converters.weights.flax import read_flax

        return read_flax
    from converters.weights.pickled import read_pickled

    return read_pickled
