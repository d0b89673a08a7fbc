"""A checkpoint or an adapter of the hub on this machine: what conversion needs, resumed and checked by SHA-256.

They lie under `cache_dir()/checkpoints/<org>--<repo>/<commit>/`.
"""

from __future__ import annotations

import json
from pathlib import Path

from converters.card import CARD_FILE
from converters.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG_FILE,
    GENERATION_FILE,
    TOKENIZER_FILES,
    choose_weights,
    is_adapter,
    shards_of,
)
from converters.tokenizer_source import SETTINGS_FILES, choose_tokenizer
from runtime.config import cache_dir
from runtime.errors import ConversionRefused
from runtime.models import hub
from runtime.models.download import download
from runtime.models.files import Progress, locked
from runtime.models.hub import RemoteFile, Repository
from runtime.models.name import HubFile

_NEEDED = {
    CONFIG_FILE, ADAPTER_CONFIG, GENERATION_FILE, "chat_template.jinja", "chat_template.json", "modules.json",
    "1_Pooling/config.json", CARD_FILE, *SETTINGS_FILES,
}  # fmt: skip


def fetch(wanted: HubFile, progress: Progress, *, is_base: bool = False) -> tuple[Path, Repository]:
    """Bring a checkpoint or an adapter here; files that are here already are not fetched again.

    is_base: an adapter's base, of which the weights are not needed.

    Raises:
        ModelNotFound, DownloadFailed, ConfigurationInvalid: as `hub.look_up` and `download.download`.
        ConversionRefused: the repository has no config.json or no weights, and is no adapter.
    """
    if hub.is_offline():
        raise hub.offline(str(wanted))
    repository = hub.look_up(wanted.repo, wanted.revision)
    files = {file.path: file for file in repository.files}
    names = set(files)
    chosen = choose_weights(names)
    if is_adapter(names):
        chosen = next((name for name in ADAPTER_WEIGHTS if name in names), None)
    elif CONFIG_FILE not in files or chosen is None:
        raise ConversionRefused(
            f"{wanted} holds no checkpoint: it lacks {'weights' if CONFIG_FILE in files else CONFIG_FILE}.",
            remedy="Choose the repository of the model itself, not of its GGUF files.",
        )
    folder = _folder_of(repository)
    with locked(folder / ".lock"):
        weights = {chosen} if chosen and not is_base else set()
        for name in sorted((_NEEDED & names) | weights | set(choose_tokenizer(names))):
            _bring(repository, files[name], folder, progress)
        if chosen and chosen.endswith(".json") and not is_base:
            index = json.loads((folder / chosen).read_text(encoding="utf-8"))
            for name in sorted(shards_of(index, chosen)):
                if name not in files:
                    raise ConversionRefused(f"{wanted} lacks {name}, which {chosen} names.")
                _bring(repository, files[name], folder, progress)
    return folder, repository


def fetch_tokenizer(wanted: HubFile, progress: Progress) -> tuple[Path, Repository]:
    """Bring the tokenizer of a repository here, whatever else it holds.

    Raises:
        ModelNotFound, DownloadFailed, ConfigurationInvalid: as `fetch`.
        ConversionRefused: the repository has no tokenizer.
    """
    if hub.is_offline():
        raise hub.offline(str(wanted))
    repository = hub.look_up(wanted.repo, wanted.revision)
    files = {file.path: file for file in repository.files}
    chosen = choose_tokenizer(set(files))
    if not chosen:
        raise ConversionRefused(f"{wanted} holds no tokenizer.", remedy="Choose the repository of a model.")
    folder = _folder_of(repository)
    with locked(folder / ".lock"):
        for name in sorted({*chosen, CONFIG_FILE, *TOKENIZER_FILES} & set(files)):
            _bring(repository, files[name], folder, progress)
    return folder, repository


def _folder_of(repository: Repository) -> Path:
    return cache_dir() / "checkpoints" / repository.repo.replace("/", "--") / repository.commit


def _bring(repository: Repository, file: RemoteFile, folder: Path, progress: Progress) -> None:
    target = folder / file.path
    if target.is_file() and target.stat().st_size == file.size:
        return
    if file.size == 0:  # of an empty file nothing comes
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        return
    partial, _ = download(repository, file, target, progress)
    partial.replace(target)
