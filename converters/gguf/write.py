"""A GGUF written piece by piece: metadata and tensor table first, then each tensor in blocks of rows.

The header is the `gguf` package's; the values are written here, so that no tensor is in memory as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from converters.ahead import WORKERS, ahead
from converters.architectures.base import Output, Value
from converters.gguf.encode import encoded
from runtime.models.files import Progress, read_blocks
from runtime.models.gguf_format import GGML_TYPES
from runtime.models.header import FILE_TYPES

# What is written directly; every other type goes over llama.cpp's quantizer.
DIRECT_TYPES = ("f32", "f16", "bf16", "q8_0")

_ALIGNMENT = gguf.GGUF_DEFAULT_ALIGNMENT
# Small, and read in float32 by llama.cpp's graphs.
_ALWAYS_F32 = ("position_embd", "token_types", "attn_rel_b", "rope_")


@dataclass(frozen=True)
class Planned:
    """A tensor of the file with the type and the bytes it will have there."""

    output: Output
    type: gguf.GGMLQuantizationType
    num_bytes: int


@dataclass(frozen=True)
class Written:
    """What came of it."""

    size: int
    sha256: str


def plan(outputs: Sequence[Output], type_name: str, notes: list[str]) -> list[Planned]:
    """Choose each tensor's type: norms, biases and tables of positions stay in F32.

    Rows that a type cannot pack go into F16, which `notes` then says.
    """
    planned = []
    wanted = gguf.GGMLQuantizationType[type_name.upper()]
    for output in outputs:
        stays = output.stays_f32 or any(part in output.name for part in _ALWAYS_F32)
        number = gguf.GGMLQuantizationType.F32 if stays else wanted
        name, block_elements, _ = GGML_TYPES[number]
        row = output.tensor.shape[-1]
        if row % block_elements:
            notes.append(f"{output.name} is written as F16: {name} packs {block_elements} values, its rows have {row}.")
            number = gguf.GGMLQuantizationType.F16
        _, block_elements, block_bytes = GGML_TYPES[number]
        planned.append(Planned(output, number, output.tensor.num_elements // block_elements * block_bytes))
    return planned


def write_gguf(
    path: Path,
    architecture: str,
    metadata: Mapping[str, Value],
    planned: Sequence[Planned],
    progress: Progress,
    *,
    title: str,
) -> Written:
    """Write the file at `path`, in a few times `tensors.BLOCK_BYTES` of memory; `progress` calls it `title`.

    Raises:
        ConversionRefused: a value is not a number, or too large for float16.
        OSError: the disk refuses it.
    """
    _write_header(path, architecture, metadata, planned)
    digest = hashlib.sha256()
    for block in read_blocks(path):
        digest.update(block)
    progress.start(f"Writing {title}", sum(each.num_bytes for each in planned))
    try:
        with path.open("ab") as file, ThreadPoolExecutor(WORKERS) as pool:
            for each in planned:
                padding = b"\0" * (-file.tell() % _ALIGNMENT)
                file.write(padding)
                digest.update(padding)
                for data in _encoded(each, pool):
                    file.write(data)
                    digest.update(data)
                    progress.advance(len(data))
            padding = b"\0" * (-file.tell() % _ALIGNMENT)
            file.write(padding)
            digest.update(padding)
    finally:
        progress.finish()
    return Written(path.stat().st_size, digest.hexdigest())


def _encoded(planned: Planned, pool: Executor) -> Iterator[memoryview]:
    """The bytes of a tensor, piece by piece; the next ones are read and encoded while one is written."""
    tensor = planned.output.tensor

    def piece(start: int, stop: int) -> memoryview:
        return encoded(tensor.read(start, stop), planned.type, planned.output.name).data.cast("B")

    return ahead(pool, piece, tensor.spans())


def file_type(type_name: str) -> int:
    """The number of a type as `general.file_type` (llama_ftype of llama.h)."""
    return next(number for number, name in FILE_TYPES.items() if name == type_name.upper())


def _write_header(path: Path, architecture: str, metadata: Mapping[str, Value], planned: Sequence[Planned]) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        writer.add_key_value(key, *_typed(value))
    for each in planned:
        writer.add_tensor_info(
            each.output.name,
            each.output.tensor.shape,
            np.dtype(np.float32),  # with a raw type given, it only must not be uint8
            each.num_bytes,
            raw_dtype=each.type,
        )
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _typed(value: Value) -> tuple[Any, ...]:
    """A value with its type, as GGUFWriter.add_key_value wants it."""
    if isinstance(value, bytes):
        return value, gguf.GGUFValueType.ARRAY
    if isinstance(value, bool | int | float | str):
        return value, _scalar_type(value, gguf.GGUFValueType.UINT32)
    return list(value), gguf.GGUFValueType.ARRAY, _scalar_type(value[0], gguf.GGUFValueType.INT32)


def _scalar_type(value: bool | float | str, integer: gguf.GGUFValueType) -> gguf.GGUFValueType:
    match value:
        case bool():
            return gguf.GGUFValueType.BOOL
        case int():
            return integer
        case float():
            return gguf.GGUFValueType.FLOAT32
    return gguf.GGUFValueType.STRING
