"""llama.cpp's file of an importance matrix, written and read.

Of each matrix NAME it has the tensors NAME.in_sum2 (sums of squares, columns first) and NAME.counts (tokens, one number
an expert), both F32 (tools/imatrix/imatrix.cpp, common/imatrix-loader.cpp). Languages and their weights are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.calibration.importance import Importance, Importances
from runtime.errors import ConversionRefused
from runtime.models.gguf_format import GgufFile, StringArray, TensorInfo, invalid, parse
from runtime.models.header import Header

_TYPE = "imatrix"
_SUMS, _COUNTS = ".in_sum2", ".counts"
_DATASETS, _NUM_CHUNKS, _CHUNK_SIZE = "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"
_MODEL, _LANGUAGES, _WEIGHTS = "demotic.imatrix.model", "demotic.imatrix.languages", "demotic.imatrix.weights"
_SHOWN = 4
_MAKE_ANOTHER = "Make one of this model: demotic calibrate MODEL -o imatrix.gguf"


@dataclass(frozen=True)
class ImportanceMatrix:
    """What such a file holds; `languages` with their weights, none where llama.cpp's tool made it."""

    entries: Importances
    datasets: tuple[str, ...]
    num_chunks: int
    chunk_size: int
    languages: Mapping[str, float]


def write_imatrix(path: Path, matrix: ImportanceMatrix, *, model: str) -> None:
    """Write it at `path`, as made of the model of that name. llama.cpp's tools read counts as whole numbers.

    Raises:
        OSError: the disk refuses it.
    """
    import gguf

    writer = gguf.GGUFWriter(path, "")
    writer.kv_data[0].clear()  # it has no architecture
    writer.add_type(_TYPE)
    writer.add_array(_DATASETS, list(matrix.datasets))
    writer.add_uint32(_NUM_CHUNKS, matrix.num_chunks)
    writer.add_uint32(_CHUNK_SIZE, matrix.chunk_size)
    writer.add_string(_MODEL, model)
    writer.add_array(_LANGUAGES, list(matrix.languages))
    writer.add_array(_WEIGHTS, [float(weight) for weight in matrix.languages.values()])
    for name, entry in sorted(matrix.entries.items()):
        counts = np.where(entry.counts > 0, np.maximum(np.round(entry.counts), 1), 0)
        squares = np.where(counts[:, None] > 0, entry.means() * counts[:, None], 0)
        writer.add_tensor(name + _SUMS, squares.astype(np.float32))
        writer.add_tensor(name + _COUNTS, counts[:, None].astype(np.float32))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def read_imatrix(path: Path) -> ImportanceMatrix:
    """Read a file that `write_imatrix` or llama-imatrix wrote.

    Raises:
        ModelFileInvalid: it is none, or is damaged.
    """
    file = parse(path)
    if file.metadata.get("general.type") != _TYPE:
        raise invalid(path, "is no importance matrix", _MAKE_ANOTHER)
    entries = {}
    for name, tensor in file.tensors.items():
        if name.endswith(_SUMS):
            key = name.removesuffix(_SUMS)
            entries[key] = _entry(path, key, tensor, file.tensors.get(key + _COUNTS))
    if not entries:
        raise invalid(path, "is an importance matrix without entries", _MAKE_ANOTHER)
    weights: Any = file.metadata.get(_WEIGHTS, ())
    return ImportanceMatrix(
        entries,
        tuple(_texts(file, _DATASETS)),
        _number(file, _NUM_CHUNKS),
        _number(file, _CHUNK_SIZE),
        dict(zip(_texts(file, _LANGUAGES), map(float, weights), strict=False)),
    )


def check_fits(path: Path, entries: Mapping[str, Importance], header: Header) -> None:
    """Refuse an importance matrix of another model.

    Raises:
        ConversionRefused: with the entries for which the model has no matrix of that size.
    """
    faults = []
    for name, entry in entries.items():
        tensor = header.tensors.get(name)
        if tensor is None:
            faults.append(f"{name} is not in the model")
        elif (found := entry.squares.shape) != (wanted := _size_of(tensor)):
            faults.append(f"{name} has {_told(found)}, in the model {_told(wanted)}")
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise ConversionRefused(
            f"{path} is not of the model {header.path}: {'; '.join(faults[:_SHOWN])}{more}.", remedy=_MAKE_ANOTHER
        )


def _size_of(tensor: TensorInfo) -> tuple[int, int]:
    return (tensor.shape[2] if len(tensor.shape) > 2 else 1, tensor.shape[0])


def _told(size: Sequence[int]) -> str:
    matrices, columns = size
    return f"{columns} columns" if matrices == 1 else f"{matrices} times {columns} columns"


def _entry(path: Path, name: str, sums: TensorInfo, counts: TensorInfo | None) -> Importance:
    if counts is None or sums.type != "F32" or counts.type != "F32":
        raise invalid(path, f"has no counts for '{name}', or other numbers than F32")
    found = _read(path, counts).astype(np.float64)
    values = _read(path, sums).astype(np.float64)
    if not found.size or values.size % found.size or not np.isfinite(values).all() or not np.isfinite(found).all():
        raise invalid(
            path, f"has {values.size} sums and {found.size} counts for '{name}', or values that are no numbers"
        )
    if (values < 0).any() or (found < 0).any():
        raise invalid(path, f"has sums of squares or counts below 0 for '{name}'")
    return Importance(values.reshape(found.size, -1), found)


def _read(path: Path, tensor: TensorInfo) -> npt.NDArray[np.float32]:
    with path.open("rb") as file:
        file.seek(tensor.offset)
        return np.frombuffer(file.read(tensor.size), "<f4")


def _texts(file: GgufFile, key: str) -> list[str]:
    found = file.metadata.get(key)
    return list(found) if isinstance(found, StringArray) else []


def _number(file: GgufFile, key: str) -> int:
    found = file.metadata.get(key)
    return found if isinstance(found, int) else 0
