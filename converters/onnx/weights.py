"""The weights of a graph in smaller types: eight bits, four bits, or halves."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from converters.onnx.surgery import (
    Array,
    add_initializer,
    drop_unread,
    gemm_to_matmul,
    integer_product,
    rewrite,
)

# Values that share a scale in four bits, and how exactly their products are computed: 4 is in eight bits.
BLOCK = 32
_ACCURACY = 4
_LEVELS = 255
# Products of an unsigned and a signed byte are added in pairs in 16 bits: 2 * 255 * 64 still fits.
_NARROW = 64


def to_int8(model: ModelProto, *, is_narrow: bool = False) -> int:
    """Multiply by weights in eight bits, with scale and zero of each column; returns how many there were.

    They are unsigned; with `is_narrow` signed and in seven bits, which processors multiply faster, and which lose more.
    Neither overflows on a processor without VNNI, as signed ones in eight bits do. What they are multiplied by gets
    eight bits as it is computed. Source of the scheme: onnxruntime's dynamic quantization,
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html.
    """
    gemm_to_matmul(model)
    weights = _weights(model)
    quantized = narrow_columns if is_narrow else quantized_columns
    done: set[str] = set()

    def change(node: NodeProto) -> list[NodeProto] | None:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            return None
        name = node.input[1]
        names = [f"{name}.{part}" for part in ("bytes", "scales", "zeros")]
        if name not in done:
            done.add(name)
            for each, array in zip(names, quantized(numpy_helper.to_array(weights[name])), strict=True):
                add_initializer(model.graph, each, array)
        return integer_product(node, *names)

    rewrite(model.graph, change)
    drop_unread(model.graph, list(done))
    return len(done)


def quantized_columns(weights: Array) -> tuple[Array, Array, Array]:
    """Columns in unsigned eight bits, shape as `weights`, and scale and zero of each: value = (u8 - zero) * scale."""
    low, high = np.minimum(weights.min(axis=0), 0), np.maximum(weights.max(axis=0), 0)
    scales = (high - low) / _LEVELS
    scales[scales == 0] = 1
    zeros = np.rint(-low / scales)
    columns = np.clip(np.rint(weights / scales) + zeros, 0, _LEVELS)
    return columns.astype(np.uint8), scales.astype(np.float32), zeros.astype(np.uint8)


def narrow_columns(weights: Array) -> tuple[Array, Array, Array]:
    """The same in signed seven bits around a zero of 0."""
    scales = np.abs(weights).max(axis=0) / _NARROW
    scales[scales == 0] = 1
    columns = np.rint(weights / scales).astype(np.int8)
    return columns, scales.astype(np.float32), np.zeros(weights.shape[1], np.int8)


def to_int4(model: ModelProto) -> int:
    """Multiply by weights in four bits, blocks of `BLOCK` with a scale each; returns how many there were.

    What they are multiplied by stays float32: MatMulNBits of onnxruntime.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import (  # type: ignore[import-untyped]  # it has no types
        MatMulNBitsQuantizer,
    )

    gemm_to_matmul(model)
    with _quiet():
        quantizer = MatMulNBitsQuantizer(model, block_size=BLOCK, is_symmetric=True, accuracy_level=_ACCURACY)
        quantizer.process()
    model.CopyFrom(quantizer.model.model)
    return sum(node.op_type == "MatMulNBits" for node in model.graph.node)


def to_fp16(model: ModelProto) -> None:
    """Compute in halves; inputs and outputs stay float32, so that a runtime feeds the graph as it was."""
    from onnxruntime.transformers.float16 import convert_float_to_float16  # type: ignore[import-untyped]  # likewise

    with _quiet():
        # Sizes are not needed, and would not be found for weights beyond 2 GB.
        model.CopyFrom(convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True))


def _weights(model: ModelProto) -> dict[str, TensorProto]:
    """Constant matrices in float32 that nothing but products read, on their right."""
    read_otherwise = {
        name for node in model.graph.node for at, name in enumerate(node.input) if node.op_type != "MatMul" or at != 1
    }
    return {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2 and tensor.data_type == TensorProto.FLOAT and tensor.name not in read_otherwise
    }


def require_operators(model: ModelProto) -> None:
    """Say that the graph uses onnxruntime's own operators, where it does."""
    own = "com.microsoft"
    if any(node.domain == own for node in model.graph.node) and own not in {each.domain for each in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(own, 1))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's tools from speaking of each node, and of values that halves cannot hold."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
