"""The vocabulary of a bundle as a file: which row of the base, or of this file, each token of another vocabulary has.

It is a GGUF without the weights that stay. With the base it makes the whole model again, to the bit: a trimmed one, one
with new tokens, one with other rows for some. `converters/bundles/vocabulary.py` writes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtime.errors import ModelFileInvalid
from runtime.models.files import Progress
from runtime.models.gguf_copy import Rows, copied_size, entries_of, write_copy
from runtime.models.gguf_format import GgufFile, StringArray, invalid, parse
from runtime.models.trimmed import VOCABULARY_TENSORS

# For each row of the model, int32: the row of the base, or ~k for row k of this file's tensors.
ROWS_KEY = "demotic.vocabulary.rows"
# The keys of the model's metadata in their order. Those that this file has not are the base's.
KEYS_KEY = "demotic.vocabulary.keys"


def vocabulary_tensors(file: GgufFile) -> tuple[str, ...]:
    """The tensors of a model that have a row for each token."""
    return tuple(name for name in VOCABULARY_TENSORS if name in file.tensors)


def make_model(
    target: Path, base: Path, part: Path, progress: Progress, *, title: str, max_bytes: int | None = None
) -> None:
    """Write the model that `part` makes of `base` to `target`.

    Raises:
        ModelFileInvalid: one of them cannot be read, they do not belong together, or its tensors have more than
            `max_bytes`.
        OSError: the file cannot be written.
    """
    file, given = parse(base), parse(part)
    rows, keys = _rows_of(given), given.metadata.get(KEYS_KEY)
    if rows is None or not isinstance(keys, StringArray):
        raise invalid(part, "is no vocabulary of a bundle", "Make the bundle anew: demotic bundle.")
    _check_rows(part, file, given, rows)
    ours, theirs = entries_of(part, given), entries_of(base, file)
    wanted = list(keys)
    if lacking := [key for key in wanted if key not in ours and key not in theirs]:
        raise _foreign(part, f"takes the entry '{lacking[0]:.80}' from a base that has none")
    entries = {key: ours.get(key) or theirs[key] for key in wanted}
    chosen = dict.fromkeys(vocabulary_tensors(file), rows)
    if max_bytes is not None and (size := copied_size(file, chosen)) > max_bytes:
        raise _foreign(part, f"makes a model of {size} bytes, which should have {max_bytes}")
    write_copy(target, base, file, entries, chosen, progress, title=title, more=(part, given))


def _rows_of(given: GgufFile) -> Rows | None:
    rows = given.metadata.get(ROWS_KEY)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.int32 or not len(rows):
        return None
    return rows.astype(np.int64)


def _check_rows(part: Path, file: GgufFile, given: GgufFile, rows: Rows) -> None:
    """Refuse rows that neither file has, before any is read."""
    names = vocabulary_tensors(file)
    if not names:
        raise _foreign(part, "is for a base with rows of tokens, and this one has none")
    num_new = -int(min(rows.min(), 0))
    for name in names:
        tensor, new = file.tensors[name], given.tensors.get(name)
        if rows.max() >= tensor.shape[-1]:
            raise _foreign(part, f"takes row {rows.max()} of '{name}', which has {tensor.shape[-1]}")
        if not num_new:
            continue
        if new is None or new.type != tensor.type or new.shape[:-1] != tensor.shape[:-1] or new.shape[-1] < num_new:
            raise _foreign(part, f"has no {num_new} rows of {tensor.type} for '{name}'")


def _foreign(part: Path, fault: str) -> ModelFileInvalid:
    return invalid(part, fault, "It was made for another base.")
