"""A GGUF written from another: entries and tensors as they are, but for those that are replaced or changed.

Nothing is decoded on the way: an entry keeps its type, and of a tensor whole rows are copied, in whatever type they are
quantized. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.models.files import BLOCK_BYTES, Progress
from runtime.models.gguf_format import ARRAY_TYPE, GGML_TYPES, NUMBER_TYPES, STRING_TYPE, GgufFile, TensorInfo

Rows = npt.NDArray[np.int64]

_TENSOR_TYPES = {name: number for number, (name, _, _) in GGML_TYPES.items()}
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
    return sum(_size(tensor, rows) for tensor in file.tensors.values())


def _size(tensor: TensorInfo, rows: Mapping[str, Rows]) -> int:
    chosen = rows.get(tensor.name)
    return tensor.size if chosen is None else tensor.size // tensor.shape[-1] * len(chosen)


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
) -> None:
    """Write `source`, whose header is `file`, to `path` with other `entries`, and of some tensors only `rows`.

    `rows` are indices into the last dimension of a tensor, in the order in which they are written. `changed` gives the
    bytes of tensors that are not copied; they are as many as before.
    """
    sizes = {name: _size(tensor, rows) for name, tensor in file.tensors.items()}
    progress.start(f"Writing {title}", sum(sizes.values()))
    try:
        with path.open("wb") as out:
            out.write(_header(file, entries, rows, sizes))
            for tensor in file.tensors.values():
                out.write(b"\0" * (-out.tell() % file.alignment))
                new = (changed or {}).get(tensor.name)
                for block in _blocks(source, tensor, rows.get(tensor.name)) if new is None else new():
                    out.write(block)
                    progress.advance(len(block))
            out.write(b"\0" * (-out.tell() % file.alignment))
    finally:
        progress.finish()


def _header(file: GgufFile, entries: Mapping[str, bytes], rows: Mapping[str, Rows], sizes: Mapping[str, int]) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(file.tensors), len(entries))]
    parts += [_string(key.encode()) + value for key, value in entries.items()]
    offset = 0
    for name, tensor in file.tensors.items():
        chosen = rows.get(name)
        shape = tensor.shape if chosen is None else (*tensor.shape[:-1], len(chosen))
        parts.append(_string(name.encode()))
        parts.append(struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, _TENSOR_TYPES[tensor.type], offset))
        offset += sizes[name] + -sizes[name] % file.alignment
    return b"".join(parts)


def _blocks(source: Path, tensor: TensorInfo, rows: Rows | None) -> Iterator[bytes]:
    if rows is None:
        data = np.memmap(source, np.uint8, "r", tensor.offset, (tensor.size,))
        for start in range(0, tensor.size, BLOCK_BYTES):
            yield data[start : start + BLOCK_BYTES].tobytes()
        return
    row_bytes = tensor.size // tensor.shape[-1]
    table = np.memmap(source, np.uint8, "r", tensor.offset, (tensor.shape[-1], row_bytes))
    step = max(BLOCK_BYTES // row_bytes, 1)
    for start in range(0, len(rows), step):
        yield table[rows[start : start + step]].tobytes()
