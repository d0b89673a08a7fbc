"""Vectors of words, as OFA compares tokens by: in word2vec's text format, or NumPy's.

Keys are words, or `lang:word` with a language of three letters; `$` is where a word begins or ends, as in ColexNet+.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.tensors import FloatArray
from runtime.errors import InvalidRequest

_LANGUAGE = re.compile(r"[a-z]{3}:(?=.)")
_BOUNDARY = "$"
_FORM = "Give word2vec's text format (a word and its numbers a line), or an .npz with 'words' and 'vectors'."


@dataclass(frozen=True)
class WordVectors:
    """Words with their vectors.

    words: without their language; `$` still marks boundaries.
    vectors: a row for each, shape (words, dimensions).
    """

    words: tuple[str, ...]
    vectors: FloatArray

    def forms(self, at: int) -> tuple[str, ...]:
        """The forms that a word is tokenized in: as it is, after a space, and with a capital.

        With a capital it stands after a space too, unless it begins at a boundary. Source: OFA,
        `get_subword_embeddings_in_word_embedding_space`.
        """
        word = self.words[at]
        text = word.replace(_BOUNDARY, " ")
        if word.startswith(_BOUNDARY):
            return text, f" {text}", text[1:2].upper() + text[2:]
        return text, f" {text}", f" {text[:1].upper()}{text[1:]}"


def read_vectors(path: Path) -> WordVectors:
    """The vectors in a file.

    Raises:
        InvalidRequest: there is no such file, or it holds something else, or vectors of different lengths.
    """
    if not path.is_file():
        raise InvalidRequest(f"There is no file {path}.", remedy=_FORM)
    keys, vectors = _of_numpy(path) if path.suffix == ".npz" else _of_text(path)
    if not keys:
        raise InvalidRequest(f"{path} holds no vectors.", remedy=_FORM)
    if not np.isfinite(vectors).all():
        raise InvalidRequest(f"{path} holds what is no number.", remedy="Get the vectors again.")
    return WordVectors(tuple(_LANGUAGE.sub("", key, count=1) if _LANGUAGE.match(key) else key for key in keys), vectors)


def _of_numpy(path: Path) -> tuple[list[str], FloatArray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            words, vectors = stored["words"], stored["vectors"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as fault:
        raise InvalidRequest(f"{path} cannot be read: {fault}.", remedy=_FORM) from fault
    if words.ndim != 1 or words.dtype.kind != "U" or vectors.ndim != 2 or len(words) != len(vectors):
        raise InvalidRequest(
            f"{path} has 'words' of shape {words.shape} and 'vectors' of shape {vectors.shape}; a row for each word is "
            "wanted.",
            remedy=_FORM,
        )
    return words.tolist(), vectors.astype(np.float32)


def _of_text(path: Path) -> tuple[list[str], FloatArray]:
    keys, rows = list[str](), list[FloatArray]()
    size: int | None = None
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            parts = line.rstrip().split(" ")
            if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
                size = int(parts[1])
                continue
            if len(parts) < 2:
                continue
            size = size or len(parts) - 1
            if len(parts) != size + 1:
                raise InvalidRequest(
                    f"{path} has {len(parts) - 1} numbers in line {number}, and {size} in the others.", remedy=_FORM
                )
            try:
                rows.append(np.array(parts[1:], np.float32))
            except ValueError as fault:
                raise InvalidRequest(f"{path} has no numbers in line {number}: {fault}.", remedy=_FORM) from fault
            keys.append(parts[0])
    return keys, np.stack(rows) if rows else np.empty((0, 0), np.float32)
