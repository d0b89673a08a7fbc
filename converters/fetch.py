"""A checkpoint of the hub on this machine: the files that conversion needs, each resumed and checked by SHA-256.

They lie under `cache_dir()/checkpoints/<org>--<repo>/<commit>/`.
"""

from __future__ import annotations

import json
from pathlib import Path

from converters.checkpoint import CONFIG_FILE, choose_weights, shards_of
from runtime.config import cache_dir
from runtime.errors import ConversionRefused
from runtime.models import hub
from runtime.models.download import download
from runtime.models.files import Progress, locked
from runtime.models.hub import RemoteFile, Repository
from runtime.models.name import HubFile

_NEEDED = {
    CONFIG_FILE, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "vocab.json",
    "merges.txt", "chat_template.jinja", "chat_template.json", "modules.json", "1_Pooling/config.json",
    "README.md",
}  # fmt: skip


def fetch(wanted: HubFile, progress: Progress) -> tuple[Path, Repository]:
    """Bring a checkpoint here; files that are here already are not fetched again.

    Raises:
        ModelNotFound, DownloadFailed, ConfigurationInvalid: as `hub.look_up` and `download.download`.
        ConversionRefused: the repository has no config.json or no weights.
    """
    if hub.is_offline():
        raise hub.offline(str(wanted))
    repository = hub.look_up(wanted.repo, wanted.revision)
    files = {file.path: file for file in repository.files}
    chosen = choose_weights(set(files))
    if CONFIG_FILE not in files or chosen is None:
        raise ConversionRefused(
            f"{wanted} holds no checkpoint: it lacks {'weights' if CONFIG_FILE in files else CONFIG_FILE}.",
            remedy="Choose the repository of the model itself, not of its GGUF files or adapter.",
        )
    folder = cache_dir() / "checkpoints" / repository.repo.replace("/", "--") / repository.commit
    with locked(folder / ".lock"):
        for name in sorted((_NEEDED & set(files)) | {chosen}):
            _bring(repository, files[name], folder, progress)
        if chosen.endswith(".json"):
            index = json.loads((folder / chosen).read_text(encoding="utf-8"))
            for name in sorted(shards_of(index, chosen)):
                if name not in files:
                    raise ConversionRefused(f"{wanted} lacks {name}, which {chosen} names.")
                _bring(repository, files[name], folder, progress)
    return folder, repository


def _bring(repository: Repository, file: RemoteFile, folder: Path, progress: Progress) -> None:
    target = folder / file.path
    if target.is_file() and target.stat().st_size == file.size:
        return
    partial, _ = download(repository, file, target, progress)
    partial.replace(target)
