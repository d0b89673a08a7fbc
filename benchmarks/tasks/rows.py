"""Rows of JSONL files, each with its language and the line that it stands in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import InvalidRequest, UnknownLanguage
from runtime.language.codes import parse

# What a language is called that nobody names: ISO 639-2's code for that.
UNKNOWN = "und"
_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_NAMED = re.compile(r"(?P<language>[^=/\\]+)=(?P<path>.+)")
_LANGUAGE_FIELDS = ("language", "lang", "dialect")


@dataclass(frozen=True)
class Source:
    """A file or folder as a person named it, and the language of its rows that name none."""

    path: Path
    language: str

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read `FILE` or `LANGUAGE=FILE`; without a language, that of a name such as `bul_Cyrl.jsonl` or `bul_Cyrl/`.

        Raises:
            InvalidRequest: there is no such file, or no such language.
        """
        named = _NAMED.fullmatch(text) if not Path(text).exists() else None
        path = Path(named["path"] if named else text)
        if not path.exists():
            raise InvalidRequest(f"There is no {path}.", remedy="Name a file, or a language and a file: bul_Cyrl=FILE.")
        if named:
            return cls(path, str(parse(named["language"])))
        found = [name for name in (path.name.split(".")[0], path.absolute().parent.name) if _CODE.fullmatch(name)]
        return cls(path, found[0] if found else UNKNOWN)


@dataclass(frozen=True)
class Row:
    """One line of a file; `key` names it among all lines of all files."""

    path: Path
    number: int
    language: str
    data: dict[str, Any]

    @property
    def key(self) -> str:
        """Its file and its line."""
        return f"{self.path}:{self.number}"

    def refusal(self, fault: str) -> InvalidRequest:
        """What is wrong with it, and where it stands."""
        return InvalidRequest(f"{self.path}, line {self.number}: {fault}.")

    def text(self, *names: str) -> str:
        """The text of the first of these fields that is there.

        Raises:
            InvalidRequest: none is there, or it holds no text.
        """
        name = next((name for name in names if name in self.data), None)
        value = self.data.get(name) if name else None
        if not isinstance(value, str) or not value.strip():
            raise self.refusal(f"'{name or names[0]}' must be a text")
        return value

    def texts(self, *names: str) -> tuple[str, ...]:
        """The texts of the first of these fields that is there: a list of texts, or one.

        Raises:
            InvalidRequest: none is there, or it holds no texts.
        """
        name = next((name for name in names if name in self.data), None)
        value = self.data.get(name) if name else None
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
            raise self.refusal(f"'{name or names[0]}' must be a text or a list of texts")
        return tuple(found)

    def decoded(self, name: str) -> Any:
        """A field's value; where it is JSON in a text, what that says.

        Raises:
            InvalidRequest: it is not there, or the text is no JSON.
        """
        if name not in self.data:
            raise self.refusal(f"there is no '{name}'")
        value = self.data[name]
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as fault:
            raise self.refusal(f"'{name}' is no JSON: {fault}") from fault


def read(sources: Sequence[Source]) -> Iterator[Row]:
    """The rows of all files in order; empty lines are left out.

    Raises:
        InvalidRequest: a file is not JSONL in UTF-8, with its line.
    """
    for source in sources:
        try:
            with source.path.open(encoding="utf-8-sig") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield _row(source, number, line)
        except (OSError, UnicodeDecodeError) as fault:
            raise InvalidRequest(f"{source.path} cannot be read: {fault}.") from fault


def language_of(name: str) -> str:
    """The code of a language; a name that is none stays as it is."""
    try:
        return str(parse(name))
    except UnknownLanguage:
        return name


def script_of(language: str) -> str:
    """The script of a code such as `bul_Cyrl`, also as the target of a pair; none where it has none."""
    code = language.rpartition("→")[2]
    return code.partition("_")[2] if _CODE.fullmatch(code) else ""


def _row(source: Source, number: int, line: str) -> Row:
    row = Row(source.path, number, source.language, {})
    try:
        data = json.loads(line)
    except ValueError as fault:
        raise row.refusal(f"this is no JSON: {fault}") from fault
    if not isinstance(data, dict):
        raise row.refusal("this is no JSON object")
    named = next((data[name] for name in _LANGUAGE_FIELDS if isinstance(data.get(name), str) and data[name]), None)
    return Row(source.path, number, language_of(named) if named else source.language, data)
