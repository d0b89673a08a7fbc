"""The texts to calibrate on, by language: read, and each told how much it counts.

A text that occurs more than once is computed once and counted by FineWeb2's rule: duplicates are a sign of quality up
to a point, beyond which they are boilerplate (https://arxiv.org/abs/2506.20920, "rehydration").
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.probes import LINES
from runtime.errors import InvalidRequest
from runtime.language.codes import parse

# More would take days to compute.
MAX_BYTES = 64 * 2**20
# From so many occurrences on: how often a text counts.
_REHYDRATION = ((1000, 1), (100, 8), (5, 5), (3, 3), (2, 2), (1, 1))
# How FineWeb2 says of a text how many there were like it.
_OCCURRENCES = "minhash_cluster_size"


@dataclass(frozen=True)
class Piece:
    """Text whose tokens each count `weight` times; a line's end belongs to it."""

    text: str
    weight: int


@dataclass(frozen=True)
class LanguageText:
    """All text of a language, as `bul_Cyrl`; `num_duplicates` were left out and are counted by weights."""

    language: str
    sources: tuple[str, ...]
    pieces: tuple[Piece, ...]
    num_duplicates: int


def rehydration(occurrences: int) -> int:
    """How often a text counts that occurs so many times, at least once."""
    return next(weight for least, weight in _REHYDRATION if occurrences >= least)


def own_texts() -> list[LanguageText]:
    """The lines that stand in where no text is given."""
    return [LanguageText(language, ("demotic",), (Piece(line, 1),), 0) for language, line in LINES.items()]


def read_texts(given: Sequence[str]) -> list[LanguageText]:
    """Texts by LANGUAGE=FILE; several files of one language are one text.

    A file has a text a line, or with the suffix .jsonl an object a line: its "text", and as "minhash_cluster_size" how
    many there were like it.

    Raises:
        InvalidRequest: something else is given, a file cannot be read or holds no text.
        UnknownLanguage: there is no such language.
    """
    files: dict[str, list[Path]] = {}
    for each in given:
        name, equals, file = each.partition("=")
        if not equals or not name or not file:
            raise InvalidRequest(
                f"{each!r:.80} does not say LANGUAGE=FILE.",
                remedy="For example: --text swa=swahili.txt",
                param="--text",
            )
        files.setdefault(str(parse(name, param="--text")), []).append(Path(file))
    return [_language_text(language, paths) for language, paths in files.items()]


def read_mix(given: str, languages: Iterable[str]) -> dict[str, float]:
    """Weights of languages by LANGUAGE=WEIGHT,...; 1 for those that are not named.

    Raises:
        InvalidRequest: something else is given, there is no text of a language, or no language has a weight above 0.
        UnknownLanguage: there is no such language.
    """
    weights = dict.fromkeys(languages, 1.0)
    for each in filter(None, (part.strip() for part in given.split(","))):
        name, _, number = each.partition("=")
        language = str(parse(name, param="--mix"))
        if language not in weights:
            raise InvalidRequest(
                f"--mix gives {language} a weight, but there is no text of it.",
                remedy=f"There is text of {', '.join(weights)}.",
                param="--mix",
            )
        weights[language] = _weight(each, number)
    if not any(weights.values()):
        raise InvalidRequest("--mix leaves no language a weight above 0.", param="--mix")
    return weights


def _weight(each: str, number: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 <= weight <= 1e6:  # also NaN
        raise InvalidRequest(
            f"{each!r:.80} does not say LANGUAGE=WEIGHT, with a weight from 0 to 1000000.",
            remedy="For example: --mix ron=2,swa=5",
            param="--mix",
        )
    return weight


def _language_text(language: str, paths: Sequence[Path]) -> LanguageText:
    lines = [line for path in paths for line in _lines(path)]
    occurrences: Counter[str] = Counter()
    for text, count in lines:
        occurrences[text] += count
    if not any(text.strip() for text in occurrences):
        raise InvalidRequest(f"{' and '.join(map(str, paths))} holds no text.", param="--text")
    pieces = tuple(_pieces([text for text, _ in lines], occurrences))
    num_texts = sum(count for text, count in occurrences.items() if text.strip())
    num_duplicates = num_texts - sum(1 for text in occurrences if text.strip())
    return LanguageText(language, tuple(path.name for path in paths), pieces, num_duplicates)


def _pieces(texts: Sequence[str], occurrences: Mapping[str, int]) -> Iterator[Piece]:
    """The texts a line each, those in a row that count the same as one; empty lines stay where they are."""
    seen: set[str] = set()
    open_texts: list[str] = []
    open_weight = 1
    for text in texts:
        if text in seen:
            continue
        weight = open_weight
        if text.strip():
            seen.add(text)
            weight = rehydration(occurrences[text])
        if weight != open_weight and open_texts:
            yield Piece("\n".join(open_texts) + "\n", open_weight)
            open_texts = []
        open_texts.append(text)
        open_weight = weight
    yield Piece("\n".join(open_texts), open_weight)


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """The lines of a file, or its texts, with the number of their occurrences."""
    lines = _read(path).removesuffix("\n").split("\n")
    if path.suffix != ".jsonl":
        yield from ((line, 1) for line in lines)
        return
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _text_of(path, number, line)


def _text_of(path: Path, number: int, line: str) -> tuple[str, int]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    text = value.get("text") if isinstance(value, dict) else None
    count = value.get(_OCCURRENCES, 1) if isinstance(value, dict) else None
    if not isinstance(text, str) or not isinstance(count, int) or count < 1:
        raise InvalidRequest(
            f"Line {number} of {path} is no text to calibrate on.",
            remedy=f'Each line must be like {{"text": "...", "{_OCCURRENCES}": 1}}; the number may be left out.',
            param="--text",
        )
    return text, count


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise InvalidRequest(f"There is no file {path}.", param="--text")
        if path.stat().st_size > MAX_BYTES:
            raise InvalidRequest(
                f"{path} has {path.stat().st_size / 1e6:,.0f} MB; at most {MAX_BYTES / 1e6:,.0f} MB can be taken.",
                remedy="A megabyte or two of a language is enough: take a part.",
                param="--text",
            )
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise InvalidRequest(f"{path} is no UTF-8 at byte {fault.start}.", param="--text") from fault
    except OSError as fault:
        raise InvalidRequest(f"{path} cannot be read: {fault.strerror}.", param="--text") from fault
