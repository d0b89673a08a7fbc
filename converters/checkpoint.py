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
GENERATION_FILE = "generation_config.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")  # the better first
# What a tokenizer is kept in, beside the weights or beside an adapter that brings its own.
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_FILES = (
    TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "chat_template.json",
)  # fmt: skip

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

    @property
    def name(self) -> str:
        """A name for what comes from there: the repository's, else the folder's."""
        return self.source.removeprefix(HUB_PREFIX).rstrip("/").rsplit("/", 1)[-1].partition("@")[0] or "model"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are on this machine.

    tokenizer_folder: where its tokenizer lies, where that is another folder.
    is_merged: its tensors are those of the files with an adapter's changes.
    """

    folder: Path
    origin: Origin
    config: Config
    weight_files: tuple[Path, ...]
    tensors: dict[str, Tensor]
    tokenizer_folder: Path | None = None
    is_merged: bool = False

    @property
    def name(self) -> str:
        """A name for the model."""
        return self.origin.name

    def path(self, file: str) -> Path:
        """Where one of its files is, or would be."""
        folder = self.tokenizer_folder if file in TOKENIZER_FILES else None
        return (folder or self.folder) / file

    def json(self, file: str) -> dict[str, Any]:
        """The object in one of its JSON files; an empty one where there is no such file."""
        path = self.path(file)
        return read_json(path) if path.is_file() else {}


def open_checkpoint(source: str, progress: Progress | None = None) -> Checkpoint:
    """Find a checkpoint's files, fetching them where they are on the hub, and read the tables of its weights.

    Raises:
        ModelNotFound: there is no such folder or repository.
        ConversionRefused: a file is missing, damaged, or wants to run code.
        DownloadFailed, ConfigurationInvalid: the hub or the cache fails.
    """
    return read_checkpoint(*locate(source, progress))


def read_checkpoint(folder: Path, origin: Origin) -> Checkpoint:
    """The checkpoint in a folder; raises as `open_checkpoint`."""
    config = _config(folder)
    files, tensors = _weights(folder)
    return Checkpoint(folder, origin, config, files, tensors)


def open_base(source: str, progress: Progress | None = None) -> Checkpoint:
    """A checkpoint without its weights: what an adapter of it has to fit is in its config.

    So it does not matter whether they are quantized. Raises as `open_checkpoint`.
    """
    folder, origin = locate(source, progress, is_base=True)
    config = _config(folder)
    values = {key: value for key, value in config.values.items() if key != "quantization_config"}
    return Checkpoint(folder, origin, Config(values, config.where), (), {})


def is_adapter(names: set[str]) -> bool:
    """Whether a folder's files are those of an adapter, without a whole model beside it."""
    return ADAPTER_CONFIG in names and choose_weights(names) is None


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


def locate(source: str, progress: Progress | None = None, *, is_base: bool = False) -> tuple[Path, Origin]:
    """The folder of a checkpoint or an adapter, fetched where it is on the hub; of a base without its weights.

    Raises:
        ModelNotFound, InvalidRequest, ConversionRefused, DownloadFailed, ConfigurationInvalid: as `open_checkpoint`.
    """
    if source[: len(HUB_PREFIX)].casefold() == HUB_PREFIX:
        wanted = parse_reference(source, ())
        if not isinstance(wanted, HubFile) or wanted.file or wanted.quantization:
            raise InvalidRequest(
                f"{source} names one file; a checkpoint is a whole repository.",
                remedy=f"Write {HUB_PREFIX}org/repo[@revision].",
            )
        from converters.fetch import fetch

        folder, repository = fetch(wanted, progress or NoProgress(), is_base=is_base)
        return folder, Origin(f"{HUB_PREFIX}{repository.repo}", repository.commit, repository.license)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        hint = f"For a checkpoint of the hub write {HUB_PREFIX}{source}." if is_hub_repository(source) else ""
        raise ModelNotFound(source, remedy=hint or "Give the folder of a checkpoint, or hf:org/repo.")
    return folder, Origin(folder.resolve().name)


def _config(folder: Path) -> Config:
    if not (folder / CONFIG_FILE).is_file():
        raise ConversionRefused(
            f"{folder} has no {CONFIG_FILE}, so it is no checkpoint.",
            remedy="Give the folder that holds config.json, the weights and the tokenizer.",
        )
    return Config(read_json(folder / CONFIG_FILE), str(folder / CONFIG_FILE))


def _weights(folder: Path) -> tuple[tuple[Path, ...], dict[str, Tensor]]:
    chosen = choose_weights({path.name for path in folder.iterdir()})
    if chosen is None:
        raise ConversionRefused(
            f"{folder} has no weights: none of {', '.join(WEIGHT_FILES)}, nor an index of their parts.",
            remedy="Get the checkpoint as safetensors.",
        )
    if not chosen.endswith(_INDEX_SUFFIX):
        path = folder / chosen
        return (path,), reader_of(chosen)(path)
    shards = shards_of(read_json(folder / chosen), str(folder / chosen))
    if missing := sorted(file for file in shards if not (folder / file).is_file()):
        raise ConversionRefused(
            f"{folder} lacks {len(missing)} of the {len(shards)} files of its weights: {', '.join(missing[:5])}.",
            remedy="Get the missing files.",
        )
    tensors: dict[str, Tensor] = {}
    for file, names in sorted(shards.items()):
        found = reader_of(file)(folder / file)
        tensors |= found
        if absent := [name for name in names if name not in found] if not file.endswith(".msgpack") else []:
            raise ConversionRefused(
                f"{folder / file} lacks '{absent[0]}', which the index says it holds.", remedy="Get this file again."
            )
    return tuple(folder / file for file in sorted(shards)), tensors


def reader_of(file: str) -> Callable[[Path], dict[str, Tensor]]:
    """What reads a file of weights, by its name."""
    if file.endswith(".safetensors"):
        from converters.weights.safetensors import read_safetensors

        return read_safetensors
    if file.endswith(".msgpack"):
        from converters.weights.flax import read_flax

        return read_flax
    from converters.weights.pickled import read_pickled

    return read_pickled
