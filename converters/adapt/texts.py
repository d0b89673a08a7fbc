"""The text that says what a language needs: corpora, read and parted into what is counted and what is held out."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.probes import DECLARATION, LINES
from runtime.errors import InvalidRequest
from runtime.language.codes import parse

MAX_BYTES = 2**30
# One distinct line of so many is not counted: what is kept is held against it.
HELD_OUT_SHARE = 10
# What is given to the tokenizer at once: lines are joined, because tokens hold line ends too.
_CHUNK_CHARS = 2**14


@dataclass(frozen=True)
class Corpus:
    """Text under the name of its language, or of its file where none is said; `counted` are chunks of lines."""

    name: str
    language: str | None
    counted: tuple[str, ...]
    held_out: tuple[str, ...]


def read_corpora(given: Sequence[str]) -> list[Corpus]:
    """Corpora by FILE or LANGUAGE=FILE; several files of one language are one corpus.

    Raises:
        InvalidRequest: one cannot be read, is no UTF-8 or holds no text.
        UnknownLanguage: there is no such language.
    """
    files: dict[tuple[str, str | None], list[Path]] = {}
    for each in given:
        name, equals, file = each.partition("=")
        if equals and not Path(each).exists():
            language = str(parse(name, param="--corpus"))
            files.setdefault((language, language), []).append(Path(file))
        else:
            files.setdefault((Path(each).name, None), []).append(Path(each))
    return [_corpus(name, language, paths) for (name, language), paths in files.items()]


def _corpus(name: str, language: str | None, paths: Sequence[Path]) -> Corpus:
    counted: list[str] = []
    held_out: dict[str, None] = {}
    for line in (line for path in paths for line in read_text(path, "--corpus", MAX_BYTES).splitlines()):
        # By its content, so that a line that occurs twice is not on both sides.
        if line.strip() and zlib.crc32(line.encode()) % HELD_OUT_SHARE == 0:
            held_out[line] = None
        else:
            counted.append(line)
    if not any(line.strip() for line in counted):
        raise InvalidRequest(f"{' and '.join(map(str, paths))} holds too little text to count.", param="--corpus")
    return Corpus(name, language, tuple(_chunks(counted)), tuple(held_out))


def held_out_of(language: str) -> tuple[str, ...]:
    """Lines of our own in a language that there is no corpus of."""
    return tuple(lines[language] for lines in (DECLARATION, LINES) if language in lines)


def _chunks(lines: Sequence[str]) -> Iterator[str]:
    chunk: list[str] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if size >= _CHUNK_CHARS:
            yield "\n".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield "\n".join(chunk)


def read_text(path: Path, param: str, most: int) -> str:
    """The text of a file.

    Raises:
        InvalidRequest: it cannot be read, has more than `most` bytes, or is no UTF-8.
    """
    try:
        if not path.is_file():
            raise InvalidRequest(f"There is no file {path}.", param=param)
        if path.stat().st_size > most:
            raise InvalidRequest(
                f"{path} has {path.stat().st_size / 1e6:,.0f} MB; at most {most / 1e6:,.0f} MB can be taken.",
                remedy="Take a part.",
                param=param,
            )
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise InvalidRequest(
            f"{path} is no UTF-8 at byte {fault.start}.",
            remedy="Write it in UTF-8, for example with iconv.",
            param=param,
        ) from fault
    except OSError as fault:
        raise InvalidRequest(f"{path} cannot be read: {fault.strerror}.", param=param) from fault
