"""Which model, or which adapter of one, answers in a language: a small TOML table.

default = "gemma-3-270m"

[languages]
bul_Cyrl = "bggpt"
mkd = "gemma-3-270m:macedonian"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from runtime.errors import ConfigurationInvalid, UnknownLanguage
from runtime.language.codes import Language, parse
from runtime.language.detect import detect

_KEYS = ("default", "languages")


class Route(NamedTuple):
    """A model, or MODEL:ADAPTER, and the language that it was chosen for; None where that is not known."""

    target: str
    language: Language | None


@dataclass(frozen=True)
class Routes:
    """What answers in each language, and what in all others."""

    default: str
    languages: Mapping[Language, str]

    @classmethod
    def read(cls, path: Path) -> Routes:
        """The table in the file at `path`.

        Raises:
            ConfigurationInvalid: it cannot be read, or is no such table.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
            raise ConfigurationInvalid(f"{path} cannot be read: {fault}.") from fault
        for key in table:
            if key not in _KEYS:
                raise ConfigurationInvalid(f"{path} has an unknown key '{key}'.", remedy=f"Known: {', '.join(_KEYS)}.")
        default, rows = table.get("default"), table.get("languages", {})
        if not isinstance(default, str) or not default:
            raise ConfigurationInvalid(f"{path} names no 'default', the model of all other languages.")
        if not isinstance(rows, dict):
            raise ConfigurationInvalid(f"'languages' in {path} must be a table.")
        languages: dict[Language, str] = {}
        for name, target in rows.items():
            if not isinstance(target, str) or not target:
                raise ConfigurationInvalid(f"'{name}' in {path} must name a model.")
            try:
                language = parse(name)
            except UnknownLanguage as error:
                raise ConfigurationInvalid(f"{path}: {error.message}", remedy=error.remedy) from error
            if language in languages:
                raise ConfigurationInvalid(f"{path} has {language} twice.")
            languages[language] = target
        return cls(default, languages)

    @property
    def targets(self) -> tuple[str, ...]:
        """Everything that may be chosen."""
        return tuple(dict.fromkeys((self.default, *self.languages.values())))

    def choose(self, language: Language | None, base: str | None = None) -> Route:
        """What answers in `language`; with a `base`, that model or one of its adapters."""
        default = self.default if base is None else base
        target = None if language is None else self.languages.get(language)
        if target is None or (base is not None and target != base and not target.startswith(f"{base}:")):
            return Route(default, language)
        return Route(target, language)


def conversation_language(said: Iterable[str]) -> Language | None:
    """The language that a conversation is held in: that of the first of the user's messages that is sure.

    So it stays the same as the conversation goes on, whatever is quoted later.
    """
    for text in said:
        found = detect(text)
        if found.is_confident:
            return found.language
    return None
