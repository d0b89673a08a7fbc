"""The nodes of llama.cpp's graph as it is computed, read where they are in memory.

Their layout is `struct ggml_tensor` of ggml.h, as llama-cpp-python 0.3.36 carries it. It is no part of the library's
interface: `check_layout` refuses another one.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from converters.tensors import FloatArray
from runtime.errors import ConfigurationInvalid, InferenceFailed
from runtime.hardware.ggml import load_ggml

_OBJECT_BYTES = 32  # struct ggml_object, which ggml_tensor_overhead counts as well

_ggml = load_ggml()
_ggml.ggml_tensor_overhead.restype = ctypes.c_size_t
_ggml.ggml_op_name.restype = ctypes.c_char_p
_ggml.ggml_backend_buffer_is_host.argtypes = [ctypes.c_void_p]
_ggml.ggml_backend_buffer_is_host.restype = ctypes.c_bool


class Node(ctypes.Structure):
    """A tensor; `ne` its sizes and `nb` its strides in bytes, the fastest first."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )

    def source(self, index: int) -> Node:
        """A tensor that it is computed from."""
        return Node.from_address(self.src[index])

    def weight_name(self) -> str:
        """Its name, without what the scheduler puts around the names of copies: `CUDA0#name#0`."""
        name: str = self.name.decode("utf-8", "replace")
        return name.split("#")[1] if "#" in name else name

    def is_in_memory(self) -> bool:
        """Whether its values are in the machine's own memory."""
        return bool(_ggml.ggml_backend_buffer_is_host(self.buffer))

    def floats(self) -> FloatArray:
        """Values of type F32 where they are, the slowest dimension first; only while llama.cpp waits for the callback.

        Raises:
            InferenceFailed: they are of another type.
        """
        return self._values(llama_cpp.GGML_TYPE_F32, ctypes.c_float)

    def integers(self) -> npt.NDArray[np.int32]:
        """The same of type I32."""
        return self._values(llama_cpp.GGML_TYPE_I32, ctypes.c_int32)

    def _values(self, type_number: int, kind: type) -> npt.NDArray[Any]:
        if self.type != type_number:
            raise InferenceFailed(f"llama.cpp computes with '{self.weight_name()}' in type {self.type}.")
        first = np.ctypeslib.as_array(ctypes.cast(self.data, ctypes.POINTER(kind)), (1,))
        return np.lib.stride_tricks.as_strided(first, tuple(self.ne)[::-1], tuple(self.nb)[::-1], writeable=False)


def check_layout() -> None:
    """Refuse a llama.cpp whose tensors are laid out otherwise.

    Raises:
        ConfigurationInvalid: with the version that is known.
    """
    found = _ggml.ggml_tensor_overhead() - _OBJECT_BYTES
    if found != ctypes.sizeof(Node):
        raise ConfigurationInvalid(
            f"llama-cpp-python {llama_cpp.__version__} keeps tensors of {found} bytes, not {ctypes.sizeof(Node)}: "
            "activations cannot be read.",
            remedy="Install the version this was made for: pip install llama-cpp-python==0.3.36",
        )


@cache
def operation(name: str) -> int:
    """The number of an operation of ggml's that exists, such as MUL_MAT."""
    number = 0
    while _ggml.ggml_op_name(number) != name.encode():
        number += 1
    return number
