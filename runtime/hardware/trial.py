"""A product of two small matrices on each of llama.cpp's devices: whether they really compute.

That a build lists a card says little: its kernels may be for other cards, or its driver too old for them. This runs in
a process of its own (`python -P -m runtime.hardware.trial`), for ggml ends the process where a card fails. It prints
what went wrong, and nothing where all went well.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from runtime.hardware.ggml import bind, load_ggml

_SIZE = 64
_F32 = 0  # GGML_TYPE_F32
_SUCCESS = 0  # GGML_STATUS_SUCCESS
_POOL_BYTES = 1 << 20
_POINTER = ctypes.c_void_p


class _InitParams(ctypes.Structure):
    """`ggml_init_params` of ggml.h."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", _POINTER), ("no_alloc", ctypes.c_bool))


def main() -> None:
    """Try all devices."""
    library = load_ggml()
    count = bind(library, "ggml_backend_dev_count", ctypes.c_size_t)()
    get = bind(library, "ggml_backend_dev_get", _POINTER, ctypes.c_size_t)
    name_of = bind(library, "ggml_backend_dev_name", ctypes.c_char_p, _POINTER)
    for index in range(count):
        device = get(index)
        if fault := try_device(library, device):
            sys.stdout.write(f"{name_of(device).decode()} {fault}\n")


def try_device(library: ctypes.CDLL, device: int) -> str:
    """What goes wrong where a device computes A B^T of ones and twos; '' where nothing does."""
    start = bind(library, "ggml_backend_dev_init", _POINTER, _POINTER, ctypes.c_char_p)
    backend = start(device, None)
    if not backend:
        return "does not start"
    try:
        return _multiply(library, backend)
    finally:
        bind(library, "ggml_backend_free", None, _POINTER)(backend)


def _multiply(library: ctypes.CDLL, backend: int) -> str:
    context = bind(library, "ggml_init", _POINTER, _InitParams)(_InitParams(_POOL_BYTES, None, True))
    try:
        matrix = bind(library, "ggml_new_tensor_2d", _POINTER, _POINTER, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        first, second = (matrix(context, _F32, _SIZE, _SIZE) for _ in range(2))
        product = bind(library, "ggml_mul_mat", _POINTER, _POINTER, _POINTER, _POINTER)(context, first, second)
        graph = bind(library, "ggml_new_graph", _POINTER, _POINTER)(context)
        bind(library, "ggml_build_forward_expand", None, _POINTER, _POINTER)(graph, product)
        buffer = bind(library, "ggml_backend_alloc_ctx_tensors", _POINTER, _POINTER, _POINTER)(context, backend)
        if not buffer:
            return "has no memory to give"
        try:
            return _compute(library, backend, graph, (first, second, product))
        finally:
            bind(library, "ggml_backend_buffer_free", None, _POINTER)(buffer)
    finally:
        bind(library, "ggml_free", None, _POINTER)(context)


def _compute(library: ctypes.CDLL, backend: int, graph: int, tensors: tuple[Any, Any, Any]) -> str:
    size = 4 * _SIZE * _SIZE
    values = ctypes.c_float * (_SIZE * _SIZE)
    move = (None, _POINTER, _POINTER, ctypes.c_size_t, ctypes.c_size_t)
    for number, tensor in zip((1.0, 2.0, 0.0), tensors, strict=True):
        bind(library, "ggml_backend_tensor_set", *move)(tensor, values(*[number] * (_SIZE * _SIZE)), 0, size)
    status = bind(library, "ggml_backend_graph_compute", ctypes.c_int, _POINTER, _POINTER)(backend, graph)
    if status != _SUCCESS:
        return f"fails to compute (status {status})"
    found = values()
    bind(library, "ggml_backend_tensor_get", *move)(tensors[2], found, 0, size)
    if set(found) != {2.0 * _SIZE}:
        return f"computes {found[0]:g} where {2.0 * _SIZE:g} is right"
    return ""


if __name__ == "__main__":
    main()
