"""The vocabulary of a bundle, held against its base: which rows are the base's, and which go into the bundle.

A model with another vocabulary is the base but for what stands in a row for each token, and for its metadata. That is
all that a file of `runtime/models/vocabulary_part.py` has, so whoever has the base needs no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.errors import ConversionRefused
from runtime.models.files import BLOCK_BYTES
from runtime.models.gguf_copy import Rows, entries_of, numbers_entry, rows_in, texts_entry, write_rows
from runtime.models.gguf_format import GgufFile, StringArray, TensorInfo, parse
from runtime.models.header import Header
from runtime.models.trimmed import MAP_KEY, ORIGINAL_KEY, fingerprint
from runtime.models.vocabulary_part import KEYS_KEY, ROWS_KEY, vocabulary_tensors

Stored = npt.NDArray[np.uint8]
_NEW = -1


@dataclass(frozen=True)
class OtherVocabulary:
    """Another vocabulary for a base: its entries, and for each row the base's, or `_NEW` with what is stored in `own`.

    own: by the name of a tensor, as many rows as there are new ones, in their order. Shape: (rows, bytes of a row).
    """

    entries: Mapping[str, bytes]
    rows: Rows
    own: Mapping[str, Stored]

    @property
    def num_new(self) -> int:
        """Rows that are not the base's."""
        return int((self.rows == _NEW).sum())


def vocabulary_of_model(base: Path, other: Path) -> OtherVocabulary:
    """What a model has of its own, that is the base but for its vocabulary: a trimmed one, or one with other tokens.

    Raises:
        ModelFileInvalid: a file cannot be read.
        ConversionRefused: the models differ in more than that.
    """
    before, after = parse(base), parse(other)
    _check_alike(base, before, other, after)
    names = vocabulary_tensors(before)
    origin = _candidates(base, before, other, after)
    tables = {name: (rows_in(base, before.tensors[name]), rows_in(other, after.tensors[name])) for name in names}
    for old, new in tables.values():
        found = np.flatnonzero(origin != _NEW)
        # In pieces: the matrix of a large vocabulary is larger than what a computer has to spare.
        for some in np.array_split(found, max(1, len(found) * new.shape[1] // BLOCK_BYTES)):
            differs = (old[origin[some]] != new[some]).any(axis=1)
            origin[some[differs]] = _NEW
    fresh = np.flatnonzero(origin == _NEW)
    own = {name: np.ascontiguousarray(new[fresh]) for name, (_, new) in tables.items()}
    return OtherVocabulary(entries_of(other, after), origin, own)


def with_rows(
    base: Path, vocabulary: OtherVocabulary | None, changed: Mapping[str, Mapping[int, Stored]]
) -> OtherVocabulary:
    """The vocabulary, without one that of the base, with other rows for some of the base's tokens.

    changed: by the name of a tensor and the row of the base, what is stored.

    Raises:
        ConversionRefused: one of the tokens was dropped from the vocabulary.
    """
    file = parse(base)
    names = vocabulary_tensors(file)
    if vocabulary is None:
        num_rows = file.tensors[names[0]].shape[-1]
        empty = {name: rows_in(base, file.tensors[name])[:0] for name in names}
        vocabulary = OtherVocabulary(entries_of(base, file), np.arange(num_rows, dtype=np.int64), empty)
    places = {int(row): place for place, row in enumerate(vocabulary.rows) if row != _NEW}
    tokens = sorted(set[int]().union(*changed.values()))
    if gone := [token for token in tokens if token not in places]:
        raise ConversionRefused(
            f"{len(gone)} tokens with rows of their own, such as {gone[0]}, are not in the trimmed vocabulary.",
            remedy="Trim with --keep FILE, and name them there.",
        )
    stored: dict[str, Stored] = {}
    rows = vocabulary.rows.copy()
    rows[[places[token] for token in tokens]] = _NEW
    fresh = np.flatnonzero(rows == _NEW)
    earlier = {int(place): at for at, place in enumerate(np.flatnonzero(vocabulary.rows == _NEW))}
    for name in names:
        table, given = rows_in(base, file.tensors[name]), changed.get(name, {})
        found = []
        for place in fresh.tolist():
            token = int(vocabulary.rows[place])
            if token == _NEW:
                found.append(vocabulary.own[name][earlier[place]])
            else:
                found.append(given[token] if token in given else np.array(table[token]))
        stored[name] = np.stack(found).astype(np.uint8) if found else vocabulary.own[name]
    return OtherVocabulary(vocabulary.entries, rows, stored)


def write_vocabulary(path: Path, base: Path, vocabulary: OtherVocabulary) -> None:
    """Write the file: the entries that differ from the base's, and the rows that are not the base's."""
    file = parse(base)
    theirs = entries_of(base, file)
    entries = {key: value for key, value in vocabulary.entries.items() if theirs.get(key) != value}
    is_new = vocabulary.rows == _NEW
    rows = vocabulary.rows.copy()
    rows[is_new] = ~np.arange(is_new.sum())
    entries |= {
        KEYS_KEY: texts_entry([key.encode() for key in vocabulary.entries]),
        ROWS_KEY: numbers_entry(rows.astype(np.int32)),
    }
    tensors: list[tuple[TensorInfo, Stored]] = []
    for name in vocabulary_tensors(file) if is_new.any() else ():
        stored, tensor = vocabulary.own[name], file.tensors[name]
        tensors.append((replace(tensor, shape=(*tensor.shape[:-1], len(stored)), size=stored.nbytes), stored))
    write_rows(path, entries, tensors)


def _candidates(base: Path, before: GgufFile, other: Path, after: GgufFile) -> Rows:
    """For each row of `other` the row of the base that it may be: by its own account, or by the token's text."""
    old, new = before.metadata.get("tokenizer.ggml.tokens"), after.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(old, StringArray) or not isinstance(new, StringArray):
        raise ConversionRefused(f"{base if not isinstance(old, StringArray) else other} lists no tokens.")
    told = after.metadata.get(MAP_KEY)
    original = Header(base, before.version, before.alignment, before.metadata, before.tensors, before.file_size)
    if isinstance(told, np.ndarray) and after.metadata.get(ORIGINAL_KEY) == fingerprint(original):
        return told.astype(np.int64)
    places: dict[bytes, int] = {}
    for row, text in enumerate(old.all_bytes()):
        places.setdefault(text, row)
    return np.array([places.get(text, _NEW) for text in new.all_bytes()], np.int64)


def _check_alike(base: Path, before: GgufFile, other: Path, after: GgufFile) -> None:
    """Refuse two models that differ in more than the rows of tokens."""
    names = vocabulary_tensors(before)
    if not names or names != vocabulary_tensors(after):
        theirs = ", ".join(vocabulary_tensors(after)) or "no"
        raise _other(other, base, f"has {theirs} tensors with rows of tokens, not {', '.join(names) or 'any'}")
    if before.tensors.keys() != after.tensors.keys() or before.alignment != after.alignment:
        raise _other(other, base, "has other tensors")
    for name, tensor in before.tensors.items():
        theirs_of = after.tensors[name]
        is_whole = name not in names
        same = tensor.type == theirs_of.type and tensor.shape[:-1] == theirs_of.shape[:-1]
        if not same or (is_whole and tensor.shape != theirs_of.shape):
            raise _other(other, base, f"has '{name}' as {theirs_of.type} of shape {list(theirs_of.shape)}")
        if is_whole and not _same_bytes(base, tensor, other, theirs_of):
            raise _other(other, base, f"has another '{name}'")


def _same_bytes(base: Path, tensor: TensorInfo, other: Path, theirs: TensorInfo) -> bool:
    with base.open("rb") as one, other.open("rb") as two:
        one.seek(tensor.offset)
        two.seek(theirs.offset)
        for start in range(0, tensor.size, BLOCK_BYTES):
            size = min(BLOCK_BYTES, tensor.size - start)
            if one.read(size) != two.read(size):
                return False
    return True


def _other(other: Path, base: Path, fault: str) -> ConversionRefused:
    return ConversionRefused(
        f"{other} {fault}, so it is not {base.name} with another vocabulary.",
        remedy="Give the base that it was made of, or share it as a model of its own.",
    )
