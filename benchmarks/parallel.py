"""Parallel text: the same sentences in many languages, to compare what they cost.

Built in are articles 1 to 5 of the Universal Declaration of Human Rights; a user may bring text of their own, as files
that are aligned by line. Languages are named by ISO 639-3 and ISO 15924, as in `bul_Cyrl`.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from converters.probes import DECLARATION
from runtime.errors import InvalidRequest, UnknownLanguage
from runtime.language.codes import parse

_ARTICLES = Path(__file__).parent / "corpus" / "declaration.toml"
_PARAM = "--parallel"


@dataclass(frozen=True)
class ParallelText:
    """The same lines by language: all languages have as many, and line i says the same in each of them."""

    name: str
    lines: Mapping[str, tuple[str, ...]]

    @property
    def num_lines(self) -> int:
        """How many lines each language has."""
        return len(next(iter(self.lines.values())))

    def of(self, languages: Sequence[str]) -> ParallelText:
        """The text in the languages that are named in any usual way; ["all"] and [] are all that there are.

        Raises:
            UnknownLanguage: no language is called so.
            InvalidRequest: the text has not this language.
        """
        if not languages or [name.casefold() for name in languages] == ["all"]:
            return self
        chosen = {self._find(name): None for name in languages}
        return ParallelText(self.name, {name: self.lines[name] for name in chosen})

    def _find(self, name: str) -> str:
        # Some are taken for another's variety by their code alone: Dari, for Persian of Afghanistan.
        found = name if name in self.lines else str(parse(name, param="--languages"))
        if found in self.lines:
            return found
        # A language that is written otherwise here than mostly: Kurdish, for one.
        code = found.partition("_")[0]
        near = [known for known in self.lines if known.partition("_")[0] == code]
        if len(near) == 1 and "_" not in name and "-" not in name:
            return near[0]
        remedy = f"It has {' and '.join(near)}." if near else f"It has {len(self.lines)} languages; 'all' takes them."
        raise InvalidRequest(f"{self.name} has no text in {found}.", remedy=remedy, param="--languages")


@cache
def declaration() -> ParallelText:
    """Articles 1 to 5 of the Universal Declaration of Human Rights, a line an article."""
    articles: dict[str, list[str]] = tomllib.loads(_ARTICLES.read_text(encoding="utf-8"))
    lines = {name: (DECLARATION[name], *others) for name, others in articles.items()}
    return ParallelText("Universal Declaration of Human Rights, articles 1 to 5", lines)


def read_parallel(paths: Sequence[Path]) -> ParallelText:
    """A user's own text: one file a language, named after it and aligned by line; or a table, .jsonl or .tsv.

    `bul.txt`, `bul_Cyrl.txt` and `news.bg` are Bulgarian. A .jsonl has an object a line, a .tsv a line of heads first;
    both name their languages. Lines that are empty in all languages are left out.

    Raises:
        InvalidRequest: a file cannot be read, is no UTF-8, or no such table; files have different numbers of lines; a
            line is empty in some languages only; there are fewer than two languages.
        UnknownLanguage: a file or a column is named after no language.
    """
    columns: dict[str, tuple[Path, list[str]]] = {}
    for path in paths:
        for name, lines in _columns_of(path).items():
            if name in columns:
                raise InvalidRequest(f"{columns[name][0]} and {path} are both in {name}.", param=_PARAM)
            columns[name] = (path, lines)
    if len(columns) < 2:
        raise InvalidRequest(
            f"There is text in {' and '.join(columns) or 'no language'} only.",
            remedy="Name files of two languages or more.",
            param=_PARAM,
        )
    counts = {name: len(lines) for name, (_, lines) in columns.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InvalidRequest(
            f"The files are not aligned by line; they have so many lines: {told}.",
            remedy="Line i must say the same in every language.",
            param=_PARAM,
        )
    rows = list(zip(*(lines for _, lines in columns.values()), strict=True))
    for number, row in enumerate(rows, 1):
        if any(row) and not all(row):
            empty = next(name for name, line in zip(columns, row, strict=True) if not line)
            raise InvalidRequest(f"Line {number} is empty in {empty}, and not in the others.", param=_PARAM)
    kept = [row for row in rows if any(row)]
    if not kept:
        raise InvalidRequest(f"There is no text in {' and '.join(map(str, paths))}.", param=_PARAM)
    aligned = {name: tuple(row[at] for row in kept) for at, name in enumerate(columns)}
    return ParallelText(", ".join(path.name for path in paths), aligned)


def _columns_of(path: Path) -> dict[str, list[str]]:
    """Lines by language of one file, without white space around them."""
    text = _text_of(path)
    match path.suffix.casefold():
        case ".jsonl":
            return _from_objects(path, text)
        case ".tsv":
            rows = list(csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
            return _from_rows(path, rows[0] if rows else [], rows[1:])
        case _:
            return {_language_of(path): [line.strip() for line in text.splitlines()]}


def _from_objects(path: Path, text: str) -> dict[str, list[str]]:
    rows: list[list[str]] = []
    heads: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as fault:
            raise InvalidRequest(f"Line {number} of {path} is no JSON: {fault}.", param=_PARAM) from fault
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise InvalidRequest(f"Line {number} of {path} is no object of texts by language.", param=_PARAM)
        heads = heads or list(found)
        if set(found) != set(heads):
            raise InvalidRequest(
                f"Line {number} of {path} has {', '.join(found) or 'nothing'}, and the first line {', '.join(heads)}.",
                param=_PARAM,
            )
        rows.append([found[name] for name in heads])
    return _from_rows(path, heads, rows)


def _from_rows(path: Path, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {}
    for head in heads:
        name = str(parse(head, param=_PARAM))
        if name in columns:
            raise InvalidRequest(f"{path} has two columns in {name}.", param=_PARAM)
        columns[name] = []
    for number, row in enumerate(rows, 1):
        if len(row) != len(heads):
            raise InvalidRequest(
                f"Row {number} of {path} has {len(row)} columns, and its head {len(heads)}.", param=_PARAM
            )
        for lines, cell in zip(columns.values(), row, strict=True):
            lines.append(cell.strip())
    return columns


def _language_of(path: Path) -> str:
    """The language that a file is named after: by its stem, or else by its ending, as in `news.bg`."""
    try:
        return str(parse(path.stem, param=_PARAM))
    except UnknownLanguage as unknown:
        if path.suffix.casefold() == ".txt":
            raise UnknownLanguage(path.name, param=_PARAM) from unknown
    try:
        return str(parse(path.suffix.removeprefix("."), param=_PARAM))
    except UnknownLanguage as unknown:
        raise UnknownLanguage(path.name, param=_PARAM) from unknown


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise InvalidRequest(f"{path} is no UTF-8 at byte {fault.start}.", param=_PARAM) from fault
    except OSError as fault:
        raise InvalidRequest(f"{path} cannot be read: {fault.strerror}.", param=_PARAM) from fault
