"""A graph to be written: a module of torch with names for its inputs and outputs.

It is traced by torch's TorchScript exporter: the same figures as the newer one's, in a twentieth of the time.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_model

from runtime.errors import ConversionRefused

OPSET = 20
# Protocol buffers end at 2 GB; from here on weights go into a file of their own.
MAX_INSIDE_BYTES = 3 * 2**29
DATA_SUFFIX = ".data"
# Smaller matrices are not worth a look.
_MIN_SHARED_VALUES = 2**10


@dataclass(frozen=True)
class Graph:
    """One graph.

    file: its name in the artefact.
    sample: tensors by the name of each input, in order. Every size that may vary is 2 or more, and none like another.
    outputs: names, in order.
    axes: for inputs and outputs, the names of the sizes that vary, by dimension.
    """

    file: str
    module: Any
    sample: Mapping[str, Any]
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]


def write_graph(graph: Graph, folder: Path) -> tuple[Path, ...]:
    """Trace a graph into a folder and return its files: one, or two where the weights do not fit into one."""
    import torch

    path = folder / graph.file
    with TemporaryDirectory(dir=folder, prefix=".traced.") as scratch, warnings.catch_warnings():
        # Each condition that becomes part of the trace is warned of; what comes of it is compared with the source.
        warnings.simplefilter("ignore")
        traced = Path(scratch) / "traced.onnx"
        with torch.no_grad():
            torch.onnx.export(
                graph.module.eval(),
                tuple(graph.sample.values()),
                str(traced),  # of a path that is no text it would not know where weights beyond 2 GB go
                dynamo=False,
                opset_version=OPSET,
                input_names=list(graph.sample),
                output_names=list(graph.outputs),
                dynamic_axes={name: dict(axes) for name, axes in graph.axes.items()},
            )
        model = onnx.load(traced, load_external_data=False)
        load_external_data_for_model(model, scratch)
    share_transposed(model)
    return save_graph(model, path)


def save_graph(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    """Write a graph and return its files: one, or two where the weights do not fit into one."""
    if sum(len(each.raw_data) for each in model.graph.initializer) <= MAX_INSIDE_BYTES:
        onnx.save_model(model, path)
        return (path,)
    data = path.with_name(f"{path.name}{DATA_SUFFIX}")
    onnx.save_model(
        model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=data.name, size_threshold=1024
    )
    return path, data


def load_graph(path: Path) -> onnx.ModelProto:
    """Read a graph with its weights.

    Raises:
        ConversionRefused: the file is damaged, or lacks the one with its weights.
    """
    try:
        return onnx.load(path)
    except Exception as fault:  # protobuf's and onnx's own, which share no class
        raise ConversionRefused(f"{path} is damaged: {fault}", remedy="Export again.") from fault


def share_transposed(model: onnx.ModelProto) -> None:
    """Keep one of two matrices that are each other transposed, such as an embedding and the head that is tied to it."""
    by_shape: dict[tuple[int, ...], list[TensorProto]] = {}
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2 and tensor.dims[0] * tensor.dims[1] >= _MIN_SHARED_VALUES:
            by_shape.setdefault(tuple(tensor.dims), []).append(tensor)
    gathered = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    for shape, tensors in by_shape.items():
        for tensor in (each for each in tensors if each.name in gathered):
            table = numpy_helper.to_array(tensor)
            for other in by_shape.get(shape[::-1], []):
                if other.name not in gathered and np.array_equal(numpy_helper.to_array(other), table.T):
                    model.graph.initializer.remove(other)
                    turn = helper.make_node("Transpose", [tensor.name], [other.name], perm=[1, 0])
                    model.graph.node.insert(0, turn)
                    by_shape[shape[::-1]].remove(other)
                    break
