"""A graph with fewer tokens: rows and columns of a vocabulary taken out of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from converters.onnx.surgery import IDS, Array
from runtime.errors import ConversionRefused

# What gives the values of its first input, maybe as another type.
_SAME = frozenset({"Cast", "Identity", "DequantizeLinear", "QuantizeLinear"})
# What is computed of ids, but tells of no token: sizes, and whether it is one that fills up.
_TELLS_NO_TOKEN = frozenset({"Shape", "Size", "Equal", "Not", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
# Of what multiplies by a matrix, which input that is.
_PRODUCTS = {"MatMul": 1, "MatMulInteger": 1, "Gemm": 1, "QLinearMatMul": 3}


def keep_rows(model: ModelProto, rows: Sequence[int], num_rows: int) -> int:
    """Keep these rows of a vocabulary of `num_rows`, in this order, wherever it is a size of the graph.

    These are embeddings, heads and their biases, in whatever type they are, also in the branches of the graph, and the
    sizes of outputs. Returns how many weights were changed.

    Raises:
        ConversionRefused: another size of a weight is `num_rows` too.
    """
    chosen = np.asarray(rows, np.int64)
    graphs = list(_with_branches(model.graph))
    packed = {node.input[1]: node for graph in graphs for node in graph.node if node.op_type == "MatMulNBits"}
    scales = {node.input[2]: node for node in packed.values()}
    uses = _Uses(graphs)
    num_changed = 0
    for tensor in [tensor for graph in graphs for tensor in graph.initializer]:
        node = packed.get(tensor.name) or scales.get(tensor.name)
        if node is not None:
            if _attribute(node, "K") == num_rows:
                raise _other_size(tensor, num_rows)
            if _attribute(node, "N") == num_rows:
                array = numpy_helper.to_array(tensor)
                tensor.CopyFrom(_part(array.reshape(num_rows, -1), chosen, tensor.name, (-1, *array.shape[1:])))
                num_changed += 1
            continue
        at = [axis for axis, size in enumerate(tensor.dims) if size == num_rows]
        if len(at) > 1:
            raise ConversionRefused(f"{tensor.name} has the vocabulary's size, {num_rows}, twice.")
        if at:
            if len(tensor.dims) == 2 and uses.are_of_no_token(tensor.name, at[0]):
                raise _other_size(tensor, num_rows)
            array = np.take(numpy_helper.to_array(tensor), chosen, axis=at[0])
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
            num_changed += 1
    for node in packed.values():
        for attribute in node.attribute:
            if attribute.name == "N" and attribute.i == num_rows:
                attribute.i = len(chosen)
    for shown in [shown for graph in graphs for shown in (*graph.output, *graph.value_info)]:
        for size in shown.type.tensor_type.shape.dim:
            if size.dim_value == num_rows:
                size.dim_value = len(chosen)
    return num_changed


class _Uses:
    """What becomes of the matrices of a graph and of its branches."""

    def __init__(self, graphs: Sequence[GraphProto]) -> None:
        nodes = [node for graph in graphs for node in graph.node]
        self._readers: dict[str, list[NodeProto]] = {}
        self._makers: dict[str, list[NodeProto]] = {}
        for node in nodes:
            for name in dict.fromkeys(node.input):
                self._readers.setdefault(name, []).append(node)
            for name in node.output:
                self._makers.setdefault(name, []).append(node)

    def are_of_no_token(self, name: str, axis: int) -> bool:
        """Whether an axis of a matrix is summed up in a product, or looked up by what is no id of a token."""
        for node in self._readers.get(name, ()):
            place = list(node.input).index(name)
            if node.op_type in _SAME and place == 0 and self.are_of_no_token(node.output[0], axis):
                return True
            if node.op_type == "Transpose" and self.are_of_no_token(node.output[0], 1 - axis):
                return True
            if _PRODUCTS.get(node.op_type) == place and axis == _attribute(node, "transB", 0):
                return True
            is_looked_up = node.op_type == "Gather" and place == 0 and _attribute(node, "axis", 0) % 2 == axis
            if is_looked_up and not self._is_of_ids(node.input[1]):
                return True
        return False

    def _is_of_ids(self, name: str) -> bool:
        """Whether a value is made of the ids that go into the graph."""
        waiting, seen = [name], set[str]()
        while waiting:
            name = waiting.pop()
            if name.endswith(IDS):
                return True
            if name not in seen:
                seen.add(name)
                makers = (node for node in self._makers.get(name, ()) if node.op_type not in _TELLS_NO_TOKEN)
                waiting += [each for node in makers for each in node.input]
        return False


def _other_size(tensor: TensorProto, num_rows: int) -> ConversionRefused:
    return ConversionRefused(
        f"{tensor.name} has the vocabulary's size, {num_rows}, and is no embedding or head: nothing tells which "
        "weights are of tokens.",
        remedy="Trim the checkpoint that the graphs were made of, and convert that.",
    )


def _with_branches(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph, and those in its nodes: what is computed by a condition."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _with_branches(inner)


def _part(array: Array, rows: Array, name: str, shape: tuple[int, ...]) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(array[rows]).reshape(shape), name)


def _attribute(node: NodeProto, name: str, default: int | None = None) -> int:
    found = next((int(each.i) for each in node.attribute if each.name == name), default)
    assert found is not None  # noqa: S101  # the operator has it always
    return found
