"""The curated catalogue: `catalog.toml` read into frozen entries and checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from runtime.errors import ConfigurationInvalid

Task = Literal["chat", "completion", "embedding", "rerank"]
# Of models that give text.
TEXT_TASKS: tuple[Task, ...] = ("chat", "completion")

CATALOG_PATH = Path(__file__).with_name("catalog.toml")

_NAME = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
_LANGUAGE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


@dataclass(frozen=True)
class CatalogEntry:
    """One curated model; the comment at the top of `catalog.toml` says what each field means."""

    name: str
    title: str
    license: str
    license_url: str
    languages: tuple[str, ...]
    architecture: str
    parameters: int
    task: Task
    gated: bool
    notes: str
    repo: str | None = None
    file: str | None = None
    package: str | None = None
    size: int | None = None
    tool_dialect: str | None = None


def load_catalog() -> Mapping[str, CatalogEntry]:
    """The curated models by name, in the order of the file.

    Raises:
        ConfigurationInvalid: the file has an unknown or missing key, or a value of the wrong type.
    """
    return _load()[1]


def default_entry() -> CatalogEntry:
    """The model to use where nothing is configured, downloaded or installed."""
    name, entries = _load()
    return entries[name]


def parse_catalog(text: str) -> tuple[str, dict[str, CatalogEntry]]:
    """Read a catalogue from TOML; returns the default's name and the entries.

    Raises:
        ConfigurationInvalid: as `load_catalog`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigurationInvalid(f"The model catalogue is not TOML: {fault}.") from fault
    _refuse_unknown(document, ("default", "models"), "The model catalogue")
    tables = document.get("models")
    if not isinstance(tables, dict):
        raise ConfigurationInvalid("The model catalogue has no table 'models'.")
    entries = {name: _entry(name, table) for name, table in tables.items()}
    default = document.get("default")
    if not isinstance(default, str) or default not in entries:
        raise ConfigurationInvalid(f"The model catalogue's default '{default}' is not one of its models.")
    return default, entries


@lru_cache(maxsize=1)
def _load() -> tuple[str, Mapping[str, CatalogEntry]]:
    default, entries = parse_catalog(CATALOG_PATH.read_text(encoding="utf-8"))
    return default, MappingProxyType(entries)


def _entry(name: str, table: object) -> CatalogEntry:
    where = f"The catalogue entry '{name}'"
    if not _NAME.fullmatch(name):
        raise ConfigurationInvalid(f"{where} has a name of other than lower-case letters, digits, dots and dashes.")
    if not isinstance(table, dict):
        raise ConfigurationInvalid(f"{where} is not a table.")
    known = [field.name for field in fields(CatalogEntry) if field.name != "name"]
    _refuse_unknown(table, known, where)
    for field in fields(CatalogEntry):
        if field.name != "name" and field.default is MISSING and field.name not in table:
            raise ConfigurationInvalid(f"{where} lacks the key '{field.name}'.")
    values: dict[str, Any] = {key: _checked(where, key, value) for key, value in table.items()}
    entry = CatalogEntry(name=name, **values)
    if (entry.package is None) == (entry.repo is None) or (entry.repo is None) != (entry.file is None):
        raise ConfigurationInvalid(f"{where} needs either 'repo' and 'file', or 'package'.")
    return entry


def _checked(where: str, key: str, value: object) -> object:
    match key:
        case "languages":
            if isinstance(value, list) and value and all(isinstance(x, str) and _LANGUAGE.fullmatch(x) for x in value):
                return tuple(value)
            raise ConfigurationInvalid(f"{where}: 'languages' must be a list of codes such as 'bul_Cyrl'.")
        case "parameters" | "size":
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
            raise ConfigurationInvalid(f"{where}: '{key}' must be a whole number over zero.")
        case "gated":
            if isinstance(value, bool):
                return value
            raise ConfigurationInvalid(f"{where}: 'gated' must be true or false.")
        case "task" if value not in get_args(Task):
            raise ConfigurationInvalid(f"{where}: 'task' must be one of {', '.join(get_args(Task))}.")
    if isinstance(value, str) and value:
        return value
    raise ConfigurationInvalid(f"{where}: '{key}' must be a text that is not empty.")


def _refuse_unknown(table: Mapping[str, object], known: list[str] | tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            remedy = f"Known keys: {', '.join(known)}."
            raise ConfigurationInvalid(f"{where} has an unknown key '{key}'.", remedy=remedy)
