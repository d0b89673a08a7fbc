"""GGUF files, byte by byte: magic, metadata and the table of tensors, read with hard bounds.

Nothing of the file is trusted: every count and length is compared with the bytes that are there before it is used, so
that a damaged file costs a sentence and never memory, time or the process. What the values mean for a model is checked
in `inspect.py`. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import stat
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from runtime.errors import ModelFileInvalid

MAX_HEADER_BYTES = 256 * 2**20  # all metadata and tensor descriptions together
MAX_STRING_BYTES = 64 * 2**20  # one value; a tokenizer.json of 262,144 tokens carried as metadata has 33 MB
MAX_KEY_BYTES = 2**16 - 1  # the format's own limit
MAX_NAME_BYTES = 63  # GGML_MAX_NAME less its final zero
MAX_METADATA = 2**16
MAX_TENSORS = 2**17
MAX_ARRAY_STRINGS = 2**22  # of all arrays together; the largest vocabularies have 2**18 tokens and twice as many merges
MAX_ARRAY_NUMBERS = 2**22
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 2**16

# ggml's type traits (ggml.h, ggml.c): number in the file -> name, elements a block, bytes a block.
GGML_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip
TYPE_NUMBERS = {name: number for number, (name, _, _) in GGML_TYPES.items()}

# gguf_metadata_value_type: number in the file -> numpy type, for all but strings and arrays.
_BOOL, STRING_TYPE, ARRAY_TYPE = 7, 8, 9
NUMBER_TYPES = {
    number: np.dtype(name)
    for number, name in {
        0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4",
        _BOOL: "?", 10: "<u8", 11: "<i8", 12: "<f8",
    }.items()
}  # fmt: skip
_U64 = struct.Struct("<Q")

_DOWNLOAD_AGAIN = "Download it again."


class StringArray(Sequence[str]):
    """An array of strings, kept as bytes and decoded one at a time; bytes that are not UTF-8 become U+FFFD."""

    def __init__(self, data: bytes, bounds: npt.NDArray[np.int64]) -> None:
        """Take the array's bytes as stored, and where each string begins in them, with one bound past the last."""
        self._data = data
        self._bounds = bounds

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.bytes_at(index).decode("utf-8", "replace")

    def bytes_at(self, index: int) -> bytes:
        """Return string `index` exactly as it stands in the file."""
        i = range(len(self))[index]
        return self._data[int(self._bounds[i]) : int(self._bounds[i + 1]) - _U64.size]

    def all_bytes(self) -> list[bytes]:
        """Every string as bytes, faster than asking for one after the other."""
        data = self._data
        return [data[start : following - 8] for start, following in pairwise(self._bounds.tolist())]

    def sha256(self) -> str:
        """The SHA-256 of all strings with their lengths, as they stand in the file."""
        return hashlib.sha256(self._data).hexdigest()

    def __repr__(self) -> str:
        return f"<StringArray of {len(self)}>"


MetadataValue: TypeAlias = bool | int | float | str | StringArray | npt.NDArray[Any]


@dataclass(frozen=True)
class TensorInfo:
    """One row of the table of tensors: `shape` in ggml's order (ne[0] first), `offset` from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size: int


@dataclass(frozen=True, eq=False)
class GgufFile:
    """What a GGUF file holds before its tensors' data; `spans` are where the type and value of each entry lie."""

    version: int
    alignment: int
    metadata: dict[str, MetadataValue]
    tensors: dict[str, TensorInfo]
    file_size: int
    spans: dict[str, tuple[int, int]]


def invalid(path: Path, fault: str, remedy: str = _DOWNLOAD_AGAIN) -> ModelFileInvalid:
    """Make the error whose sentence is the file's path and `fault`."""
    return ModelFileInvalid(f"{path} {fault}.", remedy=remedy)


def parse(path: Path) -> GgufFile:
    """Read metadata and tensor table; nothing of the file stays open or mapped.

    Raises:
        ModelFileInvalid: the file cannot be read, is something else, is cut off, or breaks a rule of the format.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise invalid(path, "is not a file", "Give the path of a .gguf file.")
        with path.open("rb") as file:
            head = file.read(64)
            if head[:4] != b"GGUF":
                raise _something_else(path, head)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(path, data).read()
    except (OSError, ValueError) as fault:  # ValueError: a path with a zero byte
        raise invalid(path, f"cannot be read: {fault}", "Check the path and its permissions.") from fault


class _Reader:
    """A position in the file that never moves past what is there."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._size = len(data)
        self._end = min(self._size, MAX_HEADER_BYTES)
        self._position = 4  # after the magic
        self._num_strings = 0

    def read(self) -> GgufFile:
        version = self._version()
        num_tensors = self._count("tensors", MAX_TENSORS, least_bytes=24)
        num_metadata = self._count("metadata entries", MAX_METADATA, least_bytes=14)
        metadata: dict[str, MetadataValue] = {}
        spans: dict[str, tuple[int, int]] = {}
        for _ in range(num_metadata):
            key = self._name("a metadata key", MAX_KEY_BYTES)
            if key in metadata:
                raise invalid(self._path, f"has the metadata key '{key}' twice")
            start = self._position
            metadata[key] = self._value(key, self._u32(f"the type of '{key}'"))
            spans[key] = start, self._position
        alignment = self._alignment(metadata.get("general.alignment", DEFAULT_ALIGNMENT))
        tensors = self._tensors(num_tensors, alignment)
        return GgufFile(version, alignment, metadata, tensors, self._size, spans)

    def _version(self) -> int:
        version = self._u32("its version")
        if version in (2, 3):
            return version
        if int.from_bytes(version.to_bytes(4, "little"), "big") in (2, 3):
            raise invalid(self._path, "is a big-endian GGUF", "Get the little-endian file of this model.")
        if version == 1:
            raise invalid(self._path, "is of GGUF version 1, which nothing reads any more", "Get a newer file.")
        raise invalid(self._path, f"says it is of GGUF version {version}; versions 2 and 3 are known")

    def _alignment(self, value: MetadataValue) -> int:
        if isinstance(value, int) and 8 <= value <= MAX_ALIGNMENT and value & (value - 1) == 0:
            return value
        raise invalid(
            self._path, f"has the alignment {value!r:.40}; it must be a power of two from 8 to {MAX_ALIGNMENT}"
        )

    def _value(self, key: str, type_number: int) -> MetadataValue:
        what = f"the value of '{key}'"
        if type_number == STRING_TYPE:
            return self._string(what, MAX_STRING_BYTES).decode("utf-8", "replace")
        if type_number == ARRAY_TYPE:
            element_type = self._u32(f"the element type of '{key}'")
            count = self._u64(f"the length of '{key}'")
            if element_type == STRING_TYPE:
                return self._strings(what, count)
            if element_type == ARRAY_TYPE:
                raise invalid(self._path, f"has an array of arrays in '{key}', which no model uses")
            return self._numbers(key, element_type, count)
        value: MetadataValue = self._numbers(key, type_number, 1)[0].item()
        return value

    def _numbers(self, key: str, type_number: int, count: int) -> npt.NDArray[Any]:
        dtype = NUMBER_TYPES.get(type_number)
        if dtype is None:
            raise invalid(self._path, f"has an unknown value type {type_number} in '{key}'")
        start = self._skip(count * dtype.itemsize, f"the value of '{key}'")
        if count > MAX_ARRAY_NUMBERS:
            raise invalid(self._path, f"has {count} numbers in '{key}'; at most {MAX_ARRAY_NUMBERS} are possible")
        stored = self._data[start : self._position]
        if type_number == _BOOL and stored.strip(b"\0\1"):
            raise invalid(self._path, f"has a truth value in '{key}' that is neither 0 nor 1")
        return np.frombuffer(stored, dtype)  # over bytes: read-only

    def _strings(self, what: str, count: int) -> StringArray:
        self._num_strings += count
        if self._num_strings > MAX_ARRAY_STRINGS or count * _U64.size > self._end - self._position:
            raise invalid(self._path, f"has more strings in {what} ({count}) than fit the file or any model")
        base = position = self._position
        bounds = array("q")
        data, end, length_at = self._data, self._end, _U64.unpack_from
        for _ in range(count):  # the hot loop: 262,144 rounds for Gemma
            if position + 8 > end:
                raise self._cut_off(what)
            position += 8 + length_at(data, position)[0]
            if position > end:
                raise self._cut_off(what)
            bounds.append(position)
        self._position = position
        starts = np.empty(count + 1, dtype=np.int64)
        starts[0] = _U64.size
        starts[1:] = np.frombuffer(bounds, dtype=np.int64) - base + _U64.size if count else 0
        return StringArray(data[base:position], starts)

    def _tensors(self, count: int, alignment: int) -> dict[str, TensorInfo]:
        rows: list[tuple[str, tuple[int, ...], int, int]] = []
        names: set[str] = set()
        for _ in range(count):
            name = self._name("a tensor's name", MAX_NAME_BYTES)
            if name in names:
                raise invalid(self._path, f"has the tensor '{name}' twice")
            names.add(name)
            num_dimensions = self._u32(f"the shape of tensor '{name}'")
            if num_dimensions > MAX_DIMENSIONS:
                raise invalid(self._path, f"has {num_dimensions} dimensions in tensor '{name}'; at most 4 are possible")
            shape = tuple(self._u64(f"the shape of tensor '{name}'") for _ in range(num_dimensions))
            rows.append((name, shape, self._u32(f"the type of '{name}'"), self._u64(f"the offset of '{name}'")))
        data_start = _aligned(self._position, alignment)
        tensors: dict[str, TensorInfo] = {}
        expected = 0  # llama.cpp too wants the data in the table's order, without gaps but the padding
        for name, shape, type_number, offset in rows:
            type_name, size = self._tensor_size(name, shape, type_number)
            if offset != expected:
                raise invalid(
                    self._path,
                    f"puts tensor '{name}' at {offset} of its data where {expected} is expected: tensors overlap, "
                    f"leave a gap or are not aligned",
                )
            expected = _aligned(offset + size, alignment)
            if data_start + offset + size > self._size:
                reach = data_start + offset + size
                raise invalid(self._path, f"is cut off: tensor '{name}' needs {reach} bytes, the file has {self._size}")
            tensors[name] = TensorInfo(name, shape, type_name, data_start + offset, size)
        return tensors

    def _tensor_size(self, name: str, shape: tuple[int, ...], type_number: int) -> tuple[str, int]:
        if type_number not in GGML_TYPES:
            raise invalid(self._path, f"has tensor '{name}' in an unknown type {type_number}", "Update demotic.")
        type_name, block_elements, block_bytes = GGML_TYPES[type_number]
        elements, row = math.prod(shape), shape[0] if shape else 1
        if not 0 < elements < 2**63:
            raise invalid(self._path, f"has the impossible shape {list(shape)} in tensor '{name}'")
        if row % block_elements:
            raise invalid(self._path, f"has rows of {row} in tensor '{name}', but {type_name} packs {block_elements}")
        return type_name, elements // block_elements * block_bytes

    def _name(self, what: str, max_bytes: int) -> str:
        stored = self._string(what, max_bytes)
        try:
            name = stored.decode("ascii")
        except UnicodeDecodeError:
            name = ""
        if not name or not name.isprintable():
            raise invalid(self._path, f"has {what} that is not plain ASCII text: {stored[:40]!r}")
        return name

    def _string(self, what: str, max_bytes: int) -> bytes:
        length = self._u64(f"the length of {what}")
        if length > max_bytes and length <= self._end - self._position:
            raise invalid(self._path, f"has {length} bytes in {what}; at most {max_bytes} are possible")
        start = self._skip(length, what)
        return self._data[start : self._position]

    def _count(self, what: str, most: int, *, least_bytes: int) -> int:
        count = self._u64(f"the number of its {what}")
        if count > most or count * least_bytes > self._size:
            raise invalid(self._path, f"says it has {count} {what}, which do not fit a file of {self._size} bytes")
        return count

    def _u32(self, what: str) -> int:
        start = self._skip(4, what)
        return int.from_bytes(self._data[start : start + 4], "little")

    def _u64(self, what: str) -> int:
        start = self._skip(8, what)
        return int.from_bytes(self._data[start : start + 8], "little")

    def _skip(self, size: int, what: str) -> int:
        """Move over `size` bytes that must be there, and return where they begin."""
        start = self._position
        if size > self._end - start:
            raise self._cut_off(what)
        self._position = start + size
        return start

    def _cut_off(self, what: str) -> ModelFileInvalid:
        if self._size > self._end:
            return invalid(self._path, f"has a header of more than {MAX_HEADER_BYTES} bytes, which no model needs")
        return invalid(self._path, f"is cut off or damaged: {what} does not end inside the file ({self._size} bytes)")


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _something_else(path: Path, head: bytes) -> ModelFileInvalid:
    """Say what a file without GGUF's magic looks like."""
    text = head.lstrip().lower()
    if not head:
        return invalid(path, "is empty, not a GGUF file")
    if head.startswith(b"version https://git-lfs"):
        return invalid(path, "is a Git LFS pointer, not a GGUF file", "Run 'git lfs pull' in its folder.")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return invalid(path, "is a web page, not a GGUF file", "Download the model itself, not the page that shows it.")
    if head[8:9] == b"{" and _U64.unpack_from(head)[0] < 2**28:
        known = "a safetensors file"
    elif head.startswith(b"PK\x03\x04"):
        known = "a zip archive, perhaps a PyTorch checkpoint"
    elif head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        known = "a Python pickle, perhaps a PyTorch checkpoint"
    elif head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")):
        return invalid(path, "is a compressed file, not a GGUF file", "Unpack it first.")
    elif head[:4] in {b"lmgg", b"fmgg", b"tjgg", b"algg"}:
        known = "a GGML file from before GGUF"
    elif text[:1] in {b"{", b"["}:
        return invalid(path, "is JSON, not a GGUF file", "Give the path of a .gguf file.")
    else:
        return invalid(path, f"is not a GGUF file: it begins with {head[:8]!r}", "Give the path of a .gguf file.")
    return invalid(path, f"is {known}, not a GGUF file", "Get the model as GGUF, or convert it to GGUF.")
