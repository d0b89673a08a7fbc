"""Tensors written as safetensors, each in the type that it is stored in, a piece at a time.

What is more than one file holds goes into several with an index. Format:
https://huggingface.co/docs/safetensors/index#format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.tensors import FloatArray, Tensor, to_bfloat16
from runtime.errors import ConversionRefused
from runtime.models.files import Progress

# What transformers puts into one file.
MAX_FILE_BYTES = 5 * 10**9
_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"
# By their names: bytes of a value. What is read as float32 is not written as more.
_SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_INTEGERS = {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}
_EXACT = 2**24  # float32 holds whole numbers up to here


def weights_size(tensors: Mapping[str, Tensor]) -> int:
    """The bytes of the tensors that `write_weights` would write."""
    return sum(map(_size, tensors.values()))


def write_weights(
    folder: Path, tensors: Mapping[str, Tensor], progress: Progress, *, title: str, most: int = MAX_FILE_BYTES
) -> None:
    """Write the tensors into `folder`, at most `most` bytes of them in a file; `progress` calls them `title`.

    Values are rounded to the nearest, ties to even.

    Raises:
        ConversionRefused: a value is not a number, or the type that it is to be stored in does not hold it.
        OSError: the disk refuses a file.
    """
    parts = _parts(tensors, most)
    total = weights_size(tensors)
    index: dict[str, str] = {}
    progress.start(f"Writing {title}", total)
    try:
        for number, names in enumerate(parts, 1):
            file = _FILE if len(parts) == 1 else f"model-{number:05}-of-{len(parts):05}.safetensors"
            _write(folder / file, {name: tensors[name] for name in names}, progress)
            index |= dict.fromkeys(names, file)
    finally:
        progress.finish()
    if len(parts) > 1:
        text = json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2) + "\n"
        (folder / _INDEX).write_text(text, encoding="utf-8")


def _parts(tensors: Mapping[str, Tensor], most: int) -> list[list[str]]:
    """The names that go into each file, in order."""
    parts: list[list[str]] = [[]]
    held = 0
    for name, tensor in tensors.items():
        if parts[-1] and held + _size(tensor) > most:
            parts.append([])
            held = 0
        parts[-1].append(name)
        held += _size(tensor)
    return parts


def _write(path: Path, tensors: Mapping[str, Tensor], progress: Progress) -> None:
    # The widest values first: so all lie at multiples of their size, where they can be mapped.
    ordered = dict(sorted(tensors.items(), key=lambda item: -_SIZES[_written_as(item[1])]))
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, tensor in ordered.items():
        end = place + _size(tensor)
        shape = [] if tensor.is_scalar else list(tensor.shape)
        table[name] = {"dtype": _written_as(tensor), "shape": shape, "data_offsets": [place, end]}
        place = end
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name, tensor in ordered.items():
            for piece in _pieces(name, tensor):
                file.write(piece.tobytes())
                progress.advance(piece.nbytes)


def _written_as(tensor: Tensor) -> str:
    return tensor.dtype if tensor.dtype in _SIZES else "F32"


def _size(tensor: Tensor) -> int:
    return tensor.num_elements * _SIZES[_written_as(tensor)]


def _pieces(name: str, tensor: Tensor) -> Iterator[npt.NDArray[Any]]:
    for values in tensor.blocks() if tensor.num_elements else ():
        yield _encoded(values, _written_as(tensor), name)


def _encoded(values: FloatArray, dtype: str, name: str) -> npt.NDArray[Any]:
    if not np.isfinite(values).all():
        raise ConversionRefused(f"'{name}' has values that are no finite numbers.", remedy="Get the checkpoint again.")
    if dtype in _INTEGERS:
        if np.abs(values).max() > _EXACT:
            raise ConversionRefused(f"'{name}' holds packed numbers ({dtype}), which are no weights to compute with.")
        return values.astype(_INTEGERS[dtype])
    if dtype == "F32":
        return values.astype("<f4", copy=False)
    with np.errstate(over="ignore"):
        halves = values.astype("<f2") if dtype == "F16" else to_bfloat16(values)
    if not (np.isfinite(halves).all() if dtype == "F16" else (halves & 0x7F80 != 0x7F80).all()):
        raise ConversionRefused(f"'{name}' would have values above the most that {dtype} holds.")
    return halves
