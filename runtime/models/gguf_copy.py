"""A GGUF written from another: entries and tensors as they are, but for those that are replaced or changed.

Nothing is decoded on the way: an entry keeps its type, and of a tensor whole rows are copied, in whatever type they are
quantized. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.models.files import BLOCK_BYTES, Progress
from runtime.models.gguf_format import (
    ARRAY_TYPE,
    DEFAULT_ALIGNMENT,
    NUMBER_TYPES,
    STRING_TYPE,
    TYPE_NUMBERS,
    GgufFile,
    TensorInfo,
)

Rows = npt.NDArray[np.int64]

_TYPES = {np.dtype(dtype).newbyteorder("<"): number for number, dtype in NUMBER_TYPES.items()}


def entries_of(path: Path, file: GgufFile) -> dict[str, bytes]:
    """The metadata of the GGUF at `path`, whose header is `file`: each value as it is stored, its type first."""
    entries: dict[str, bytes] = {}
    with path.open("rb") as stored:
        for key, (start, end) in file.spans.items():
            stored.seek(start)
            entries[key] = stored.read(end - start)
    return entries


def number_entry(value: float, like: bytes | None = None, *, type_number: int = 4) -> bytes:
    """An entry of one number, of the type that the entry `like` has, else of `type_number`: 4 is uint32."""
    number = type_number if like is None else struct.unpack_from("<I", like)[0]
    return struct.pack("<I", number) + np.array(value, NUMBER_TYPES[number]).tobytes()


def numbers_entry(values: npt.NDArray[Any]) -> bytes:
    """An entry of an array of numbers, of its own type."""
    number = _TYPES[values.dtype.newbyteorder("<")]
    return struct.pack("<IIQ", ARRAY_TYPE, number, len(values)) + values.tobytes()


def text_entry(text: str) -> bytes:
    """An entry of a text."""
    return struct.pack("<I", STRING_TYPE) + _string(text.encode())


def texts_entry(texts: Sequence[bytes]) -> bytes:
    """An entry of an array of texts."""
    return struct.pack("<IIQ", ARRAY_TYPE, STRING_TYPE, len(texts)) + b"".join(map(_string, texts))


def _string(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def copied_size(file: GgufFile, rows: Mapping[str, Rows]) -> int:
    """The bytes of the tensors that `write_copy` would write."""
    return sum(_chosen(tensor, rows.get(name)).size for name, tensor in file.tensors.items())


def write_copy(
    path: Path,
    source: Path,
    file: GgufFile,
    entries: Mapping[str, bytes],
    rows: Mapping[str, Rows],
    progress: Progress,
    *,
    title: str,
    changed: Mapping[str, Callable[[], Iterator[bytes]]] | None = None,
    more: tuple[Path, GgufFile] | None = None,
) -> None:
    """Write `source`, whose header is `file`, to `path` with other `entries`, and of some tensors only `rows`.

    `rows` are indices into the last dimension of a tensor, in the order in which they are written. One below zero, ~k,
    is row k of the tensor of this name in the file `more`, which is of the same type and width. `changed` gives the
    bytes of tensors that are not copied; they are as many as before.
    """
    chosen = [_chosen(tensor, rows.get(name)) for name, tensor in file.tensors.items()]
    progress.start(f"Writing {title}", sum(tensor.size for tensor in chosen))
    try:
        with path.open("wb") as out:
            out.write(_header(entries, chosen, file.alignment))
            for tensor in file.tensors.values():
                out.write(b"\0" * (-out.tell() % file.alignment))
                new = (changed or {}).get(tensor.name)
                for block in _blocks(source, tensor, rows.get(tensor.name), more) if new is None else new():
                    out.write(block)
                    progress.advance(len(block))
            out.write(b"\0" * (-out.tell() % file.alignment))
    finally:
        progress.finish()


def write_rows(
    path: Path, entries: Mapping[str, bytes], tensors: Sequence[tuple[TensorInfo, npt.NDArray[np.uint8]]]
) -> None:
    """Write a GGUF of `entries` and of rows of tensors as they are stored, whose offsets are not looked at."""
    with path.open("wb") as out:
        out.write(_header(entries, [tensor for tensor, _ in tensors], DEFAULT_ALIGNMENT))
        for _, stored in tensors:
            out.write(b"\0" * (-out.tell() % DEFAULT_ALIGNMENT))
            out.write(stored.tobytes())
        out.write(b"\0" * (-out.tell() % DEFAULT_ALIGNMENT))


def _chosen(tensor: TensorInfo, rows: Rows | None) -> TensorInfo:
    """What is written of a tensor."""
    if rows is None:
        return tensor
    size = tensor.size // tensor.shape[-1] * len(rows)
    return replace(tensor, shape=(*tensor.shape[:-1], len(rows)), size=size)


def _header(entries: Mapping[str, bytes], tensors: Sequence[TensorInfo], alignment: int) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(entries))]
    parts += [_string(key.encode()) + value for key, value in entries.items()]
    offset = 0
    for tensor in tensors:
        shape = tensor.shape
        parts.append(_string(tensor.name.encode()))
        parts.append(struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, TYPE_NUMBERS[tensor.type], offset))
        offset += tensor.size + -tensor.size % alignment
    return b"".join(parts)


def _blocks(source: Path, tensor: TensorInfo, rows: Rows | None, more: tuple[Path, GgufFile] | None) -> Iterator[bytes]:
    if rows is None:
        data = np.memmap(source, np.uint8, "r", tensor.offset, (tensor.size,))
        for start in range(0, tensor.size, BLOCK_BYTES):
            yield data[start : start + BLOCK_BYTES].tobytes()
        return
    table = rows_in(source, tensor)
    others = rows_in(more[0], more[1].tensors[tensor.name]) if more is not None and (rows < 0).any() else table
    step = max(BLOCK_BYTES // table.shape[1], 1)
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        block = table[np.maximum(chosen, 0)]
        block[chosen < 0] = others[~chosen[chosen < 0]]
        yield block.tobytes()


def rows_in(path: Path, tensor: TensorInfo) -> npt.NDArray[np.uint8]:
    """The rows of a tensor of the GGUF at `path` as they are stored, which are read when they are looked at.

    Shape: (last dimension, bytes of a row).
    """
    return np.memmap(path, np.uint8, "r", tensor.offset, (tensor.shape[-1], tensor.size // tensor.shape[-1]))
