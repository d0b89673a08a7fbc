"""A GGUF with its matrices in another type, by llama.cpp's own quantizer, which knows all types and mixtures.

What it would abort the process on is refused or mended before it is called.
"""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import llama_cpp

from converters.gguf.given import GivenMatrix, arrays_of, overrides_of
from runtime.backends.llama import library
from runtime.errors import ConversionRefused
from runtime.models.gguf_format import GGML_TYPES
from runtime.models.header import FILE_TYPES, Header
from runtime.models.inspect import check_loadable, read_header

# By their names in upper case: what a file may be made of, and what one tensor may be.
MIXTURES = {name: number for number, name in FILE_TYPES.items() if name not in {"NVFP4", "MXFP4"}}
TENSOR_TYPES = {
    name: number for number, (name, _, _) in GGML_TYPES.items() if not re.match(r"I\d|F64|Q8_1|Q8_K|NVFP4|MXFP4", name)
}
# They lose so much that llama.cpp wants to know which weights matter.
_NEED_IMATRIX = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "Q2_K_S"})
_UNQUANTIZED = frozenset({"F32", "F16", "BF16"})

_log = logging.getLogger("demotic.llama")
_FALLBACK = re.compile(r"(\S+)\s+- ncols\s+(\d+) not divisible by\s+(\d+) \(required for type\s+(\S+)\)")
_RESULT = re.compile(r"-> falling back to\s+(\S+)")


@dataclass(frozen=True)
class Quantization:
    """What is asked for: `type` a mixture; `embedding`, `output` and `tensors` (by a regex of names) exceptions."""

    type: str
    embedding: str | None = None
    output: str | None = None
    tensors: Mapping[str, str] = field(default_factory=dict)


def quantize(
    source: Path,
    target: Path,
    wanted: Quantization,
    *,
    requantize: bool = False,
    given: GivenMatrix | None = None,
) -> list[str]:
    """Write the GGUF at `source` to `target` in another type; returns a line for each tensor that does not fit it.

    With an importance matrix `given`, errors of columns that matter count for more.

    Raises:
        ModelFileInvalid, UnsupportedArchitecture: the source is no model that can be run.
        ConversionRefused: the source is quantized already, a type is unknown or needs an importance matrix, the one
            that is given is of another model, or llama.cpp fails.
    """
    header = read_header(source)
    check_loadable(header)
    check_request(wanted, has_matrix=given is not None)
    _check_tensors(header, wanted)
    if given is not None:
        given.check(header)
        _check_covered(header, wanted, given)
    if header.quantization not in _UNQUANTIZED and not requantize:
        raise ConversionRefused(
            f"{source} is in {header.quantization} already; quantizing it again loses more.",
            remedy="Quantize the file in F16, BF16 or F32, or add --requantize.",
        )
    notes: list[str] = []
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = MIXTURES[wanted.type]
    params.allow_requantize = requantize
    if wanted.embedding is not None:
        params.token_embedding_type = _fitting(header, "token_embd.weight", wanted.embedding, notes)
    if wanted.output is not None:
        params.output_tensor_type = _fitting(header, "output.weight", wanted.output, notes)
    if wanted.tensors:
        overrides = (llama_cpp.llama_model_tensor_override * (len(wanted.tensors) + 1))()  # an empty one ends it
        for index, (pattern, name) in enumerate(wanted.tensors.items()):
            overrides[index].pattern = pattern.encode()
            overrides[index].type = TENSOR_TYPES[name]
        params.tt_overrides = overrides
    if given is not None:
        values = given.values()  # they must outlive the call
        params.imatrix, params.kv_overrides = arrays_of(values), overrides_of(given)
        notes += given.notes(header)
    library.initialise()
    library.take_error()
    with _fallbacks(notes):
        status = llama_cpp.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(params))
    if status != 0:
        raise ConversionRefused(f"llama.cpp could not quantize {source}: {library.take_error() or 'no reason given'}.")
    return notes


def check_request(wanted: Quantization, *, has_matrix: bool = False) -> None:
    """Refuse types that there are not, and those that need an importance matrix where there is none.

    Raises:
        ConversionRefused: with the types that there are.
    """
    if wanted.type not in MIXTURES:
        raise ConversionRefused(f"There is no type {wanted.type!r:.40}.", remedy=f"Known: {', '.join(MIXTURES)}.")
    for name in (wanted.embedding, wanted.output, *wanted.tensors.values()):
        if name is not None and name not in TENSOR_TYPES:
            known = ", ".join(TENSOR_TYPES)
            raise ConversionRefused(f"There is no type {name!r:.40} for a tensor.", remedy=f"Known: {known}.")
    for name in (wanted.type, wanted.embedding, wanted.output, *wanted.tensors.values()):
        if name in _NEED_IMATRIX and not has_matrix:
            raise ConversionRefused(
                f"{name} needs an importance matrix.",
                remedy="Make one of the model in F16 (demotic calibrate) and give it to demotic quantize --imatrix, or "
                "choose a larger type.",
            )


def _check_tensors(header: Header, wanted: Quantization) -> None:
    for pattern in wanted.tensors:
        try:
            found = [name for name in header.tensors if re.search(pattern, name)]
        except re.error as fault:
            raise ConversionRefused(f"{pattern!r:.80} is no regular expression: {fault}.") from fault
        if not found:
            raise ConversionRefused(f"{header.path} has no tensor whose name matches {pattern!r:.80}.")


def _check_covered(header: Header, wanted: Quantization, given: GivenMatrix) -> None:
    """Refuse to force a type that needs an importance matrix on a tensor that has none: llama.cpp would abort."""
    matrices = [name for name, tensor in header.tensors.items() if len(tensor.shape) > 1]
    forced: dict[str, str] = {}
    for pattern, type_name in reversed(list(wanted.tensors.items())):  # the first that matches counts
        forced |= {name: type_name for name in matrices if re.search(pattern, name)}
    for name, exception in (("token_embd.weight", wanted.embedding), ("output.weight", wanted.output)):
        if exception is not None and name in matrices:
            forced[name] = exception
    for name, type_name in forced.items():
        if type_name in _NEED_IMATRIX and name not in given.matrix.entries:
            raise ConversionRefused(
                f"{type_name} needs an importance matrix, and {given.path} has none of {name}.",
                remedy="Choose a larger type for that tensor.",
            )


def _fitting(header: Header, tensor: str, wanted: str, notes: list[str]) -> int:
    """The number of a type to force on a tensor: llama.cpp aborts where one that is forced does not fit its rows."""
    row = header.tensors[tensor].shape[0] if tensor in header.tensors else 0
    _, block, _ = GGML_TYPES[TENSOR_TYPES[wanted]]
    if row % block == 0:
        return TENSOR_TYPES[wanted]
    fitting = "Q8_0" if row % 32 == 0 else "F16"
    notes.append(_note(tensor, fitting, wanted, block, row))
    return TENSOR_TYPES[fitting]


@contextmanager
def _fallbacks(notes: list[str]) -> Iterator[None]:
    """Collect what llama.cpp logs of tensors that a type does not fit."""
    handler = _Fallbacks(notes)
    level = _log.level
    _log.addHandler(handler)
    _log.setLevel(min(level, logging.WARNING) if level else logging.WARNING)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(level)


class _Fallbacks(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._notes = notes
        self._open: re.Match[str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Read a warning and the line that ends it."""
        text = record.getMessage()
        self._open = _FALLBACK.search(text) or self._open
        result = _RESULT.search(text)
        if self._open and result:
            name, row, block, wanted = self._open.groups()
            self._notes.append(_note(name, result[1].upper(), wanted.upper(), int(block), int(row)))
            self._open = None


def _note(name: str, found: str, wanted: str, block: int, row: int) -> str:
    return f"{name} is written as {found}: {wanted} packs {block} values, its rows have {row}."
