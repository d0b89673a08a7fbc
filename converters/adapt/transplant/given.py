"""The tokenizer that a model is to get: a folder, a tokenizer.json, or a repository of the hub."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.adapt.transplant.vocabulary import Vocabulary, vocabulary_in, vocabulary_of
from converters.checkpoint import CONFIG_FILE, TOKENIZER_FILE, TOKENIZER_FILES, Checkpoint, Origin, read_json
from converters.config import Config
from converters.tokenizer_source import SETTINGS_FILES, TokenizerSource, choose_tokenizer, tokenizer_source
from runtime.errors import InvalidRequest
from runtime.models.files import Progress
from runtime.models.name import HUB_PREFIX, HubFile, parse_reference

_SETTINGS_FILE = SETTINGS_FILES[0]
_ANY_CLASS = "PreTrainedTokenizerFast"
_FORM = "Give a folder with a tokenizer, a tokenizer.json, or hf:org/repo."


@dataclass(frozen=True)
class Given:
    """A tokenizer with what lies beside it.

    files: by the names that they get in a checkpoint, to be copied, or their text.
    tokenizer_class: transformers' name for it, if its files tell.
    """

    origin: Origin
    source: TokenizerSource
    vocabulary: Vocabulary
    files: dict[str, Path | str]
    tokenizer_class: str


def open_tokenizer(reference: str, progress: Progress) -> Given:
    """Find a tokenizer and read it.

    Raises:
        ModelNotFound: the hub has no such repository.
        InvalidRequest: there is nothing of that name, or a file that is no JSON.
        ConversionRefused: there is no tokenizer in it, it is damaged, or of a kind that llama.cpp has not.
        DownloadFailed, ConfigurationInvalid: the hub or the cache fails.
    """
    path = Path(reference).expanduser()
    if reference[: len(HUB_PREFIX)].casefold() == HUB_PREFIX:
        return _of_folder(*_fetched(reference, progress))
    if path.is_dir() or path.name == TOKENIZER_FILE:
        folder = path if path.is_dir() else path.parent
        if not folder.is_dir():
            raise InvalidRequest(f"There is no {path}.", remedy=_FORM)
        return _of_folder(folder, Origin(folder.resolve().name))
    if not path.is_file():
        raise InvalidRequest(f"There is no tokenizer {reference}.", remedy=_FORM)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise InvalidRequest(f"{path} is no JSON.", remedy=_FORM) from fault
    source = TokenizerSource(str(path), text)
    return _with_settings(Origin(path.name), source, vocabulary_of(source, {}), {TOKENIZER_FILE: text}, {})


def _fetched(reference: str, progress: Progress) -> tuple[Path, Origin]:
    from converters.fetch import fetch_tokenizer

    wanted = parse_reference(reference, ())
    if not isinstance(wanted, HubFile) or wanted.file or wanted.quantization:
        raise InvalidRequest(f"{reference} names one file.", remedy=f"Write {HUB_PREFIX}org/repo[@revision].")
    folder, repository = fetch_tokenizer(wanted, progress)
    return folder, Origin(f"{HUB_PREFIX}{repository.repo}", repository.commit, repository.license)


def _of_folder(folder: Path, origin: Origin) -> Given:
    where = folder / CONFIG_FILE
    values = read_json(where) if where.is_file() else {}
    checkpoint = Checkpoint(folder, origin, Config(values, str(where)), (), {})
    source = tokenizer_source(checkpoint)
    vocabulary = vocabulary_in(checkpoint, source)
    chosen = choose_tokenizer({path.name for path in folder.iterdir()})
    names = {*chosen, *TOKENIZER_FILES}
    files: dict[str, Path | str] = {name: folder / name for name in sorted(names) if (folder / name).is_file()}
    if source.is_exact:
        files.setdefault(TOKENIZER_FILE, source.text)
    return _with_settings(origin, source, vocabulary, files, checkpoint.json(_SETTINGS_FILE))


def _with_settings(
    origin: Origin,
    source: TokenizerSource,
    vocabulary: Vocabulary,
    files: dict[str, Path | str],
    settings: dict[str, Any],
) -> Given:
    """With the settings that transformers needs, where there are none that tell a class."""
    named = settings.get("tokenizer_class")
    if isinstance(named, str):
        return Given(origin, source, vocabulary, files, named)
    roles = {f"{role}_token": vocabulary.names[token] for role, token in vocabulary.roles.items()}
    text = json.dumps({**roles, **settings, "tokenizer_class": _ANY_CLASS}, ensure_ascii=False, indent=2) + "\n"
    return Given(origin, source, vocabulary, {**files, _SETTINGS_FILE: text}, _ANY_CLASS)
