"""The names and sizes of a graph's inputs and outputs, read from the file without its weights.

An ONNX file is a protocol buffer: fields with a number and a wire type, the long ones with their length before them, so
that weights are stepped over. Numbers of fields: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3; the format:
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runtime.errors import ModelFileInvalid

_GRAPH, _INPUT, _OUTPUT = 7, 11, 12  # of ModelProto, and of GraphProto
_NAME = 1  # of ValueInfoProto
# From there to a size: ValueInfoProto's type, its tensor_type, the shape of that, each dim, and its dim_value.
_TYPE, _TENSOR, _SHAPE, _DIM, _SIZE = 2, 1, 2, 1, 1
_MAX_VALUES = 2**14
_MAX_NAME_BYTES = 2**10

Sizes = tuple[int | None, ...]


@dataclass(frozen=True)
class GraphNames:
    """By name the sizes of each input and output, in the order of the file; None for a size that varies."""

    inputs: dict[str, Sizes]
    outputs: dict[str, Sizes]


@dataclass(frozen=True)
class _Field:
    """A field between two places of a file, or its value where it is a number."""

    number: int
    start: int
    end: int
    value: int | None = None


def read_names(path: Path) -> GraphNames:
    """The inputs and outputs of the graph at `path`.

    Raises:
        ModelFileInvalid: it cannot be read, or is no ONNX file.
    """
    found: dict[int, dict[str, Sizes]] = {_INPUT: {}, _OUTPUT: {}}
    try:
        with path.open("rb") as file:
            for graph in _named(file, _Field(0, 0, path.stat().st_size), _GRAPH):
                for each in _fields(file, graph):
                    if each.number in found:
                        found[each.number][_name(file, each)] = _sizes(file, each)
                        if len(found[each.number]) > _MAX_VALUES:
                            raise ValueError("it has too many inputs or outputs")
    except OSError as fault:
        raise ModelFileInvalid(f"{path} cannot be read: {fault.strerror}.") from fault
    except ValueError as fault:
        raise ModelFileInvalid(f"{path} is no ONNX graph: {fault}.", remedy="Export the model anew.") from fault
    if not found[_OUTPUT]:
        raise ModelFileInvalid(f"{path} is no ONNX graph: it has no outputs.", remedy="Export the model anew.")
    return GraphNames(found[_INPUT], found[_OUTPUT])


def _name(file: BinaryIO, value: _Field) -> str:
    field = next(_named(file, value, _NAME), None)
    if field is None or field.end - field.start > _MAX_NAME_BYTES:
        raise ValueError("an input or output has no name")
    file.seek(field.start)
    return file.read(field.end - field.start).decode()


def _sizes(file: BinaryIO, value: _Field) -> Sizes:
    sizes: list[int | None] = []
    for kind in _named(file, value, _TYPE):
        for tensor in _named(file, kind, _TENSOR):
            for shape in _named(file, tensor, _SHAPE):
                for dimension in _named(file, shape, _DIM):
                    known = next(_named(file, dimension, _SIZE), None)
                    sizes.append(None if known is None else known.value)
    return tuple(sizes)


def _named(file: BinaryIO, outer: _Field, number: int) -> Iterator[_Field]:
    return (field for field in _fields(file, outer) if field.number == number)


def _fields(file: BinaryIO, outer: _Field) -> Iterator[_Field]:
    """The fields in a field, or in the file."""
    at = outer.start
    while at < outer.end:
        file.seek(at)
        head = file.read(20)
        key, used = _varint(head, 0)
        start, value = at + used, None
        match key & 7:
            case 0:
                value, used = _varint(head, used)
                end = at + used
            case 1:
                end = start + 8
            case 2:
                length, used = _varint(head, used)
                start = at + used
                end = start + length
            case 5:
                end = start + 4
            case _:
                raise ValueError("a field has no known type")
        if end > outer.end:
            raise ValueError("it ends too soon")
        yield _Field(key >> 3, start, end, value)
        at = end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place after it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number does not end")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
