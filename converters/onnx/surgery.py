"""Changes to a graph that has been written: the embedding smaller, or factorised.

An embedding is found by what is done with it: a Gather reads its rows by `input_ids`, and where a head is tied to it a
MatMul multiplies by its Transpose. Both read the changed table too, so it stays in the file once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from runtime.errors import ConversionRefused

Array = np.ndarray[Any, Any]
IDS = "input_ids"
# The zero of rows in eight bits, which are symmetric: 1 to 255 stand for -127 to 127.
ZERO = 128
# What only changes the shape or the type of ids.
_SAME_VALUES = frozenset({"Reshape", "Cast", "Identity", "Unsqueeze", "Squeeze"})


@dataclass(frozen=True)
class Table:
    """An embedding: its initializer of shape (rows, width), the nodes that read rows, and those of heads tied to it.

    Nodes are named by their first output, which no two have in common.
    """

    name: str
    gathers: frozenset[str]
    heads: frozenset[str]


def tables_of(model: ModelProto) -> list[Table]:
    """The embeddings in float32 or float16; not those that something else reads besides, which are left alone."""
    graph = model.graph
    readers = readers_of(graph)
    producers = {name: node for node in graph.node for name in node.output}
    found = []
    for tensor in graph.initializer:
        if len(tensor.dims) != 2 or tensor.data_type not in {TensorProto.FLOAT, TensorProto.FLOAT16}:
            continue
        nodes = readers.get(tensor.name, [])
        gathers = [each for each in nodes if _gathers_rows(each, tensor.name, producers)]
        turned = [each for each in nodes if each.op_type == "Transpose"]
        heads = [head for each in turned for head in readers.get(each.output[0], [])]
        is_known = all(head.op_type == "MatMul" and head.input[1] in _outputs(turned) for head in heads)
        if gathers and is_known and len(gathers) + len(turned) == len(nodes):
            found.append(Table(tensor.name, _outputs(gathers), _outputs(heads)))
    return found


def quantize_embedding(model: ModelProto) -> int:
    """Store embeddings in eight bits with a scale for each row, and return how many there were.

    A tied head multiplies in eight bits then, as `integer_product` does.
    """
    tables = tables_of(model)
    for table in tables:
        weights = take_initializer(model.graph, table.name)
        rows, scales = quantized_rows(weights.astype(np.float32))
        names = {part: f"{table.name}.{part}" for part in ("rows", "scales", "zero", "turned", "axis", "centre")}
        add_initializer(model.graph, names["rows"], rows)
        add_initializer(model.graph, names["scales"], scales)
        add_initializer(model.graph, names["zero"], np.uint8(ZERO))
        add_initializer(model.graph, names["centre"], np.float32(ZERO))
        add_initializer(model.graph, names["axis"], np.array([-1]))
        drop_transposes(model.graph, table.name)
        if table.heads:
            model.graph.node.insert(0, helper.make_node("Transpose", [names["rows"]], [names["turned"]], perm=[1, 0]))

        def change(node: NodeProto, table: Table = table, names: dict[str, str] = names) -> list[NodeProto] | None:
            if node.output[0] in table.gathers:
                return _read_rows(node, names)
            if node.output[0] in table.heads:
                return integer_product(node, names["turned"], names["scales"], names["zero"])
            return None

        rewrite(model.graph, change)
    return len(tables)


def _read_rows(node: NodeProto, names: dict[str, str]) -> list[NodeProto]:
    """A Gather of rows in eight bits, made float32 by the scale of each."""
    ids, out = node.input[1], node.output[0]
    whole, numbers, centred, scale, column = (f"{out}.{part}" for part in ("rows", "f32", "centred", "scale", "column"))
    return [
        helper.make_node("Gather", [names["rows"], ids], [whole], axis=0),
        helper.make_node("Cast", [whole], [numbers], to=TensorProto.FLOAT),
        helper.make_node("Sub", [numbers, names["centre"]], [centred]),
        helper.make_node("Gather", [names["scales"], ids], [scale], axis=0),
        helper.make_node("Unsqueeze", [scale, names["axis"]], [column]),
        helper.make_node("Mul", [centred, column], [out]),
    ]


def integer_product(node: NodeProto, weights: str, scales: str, zeros: str) -> list[NodeProto]:
    """A MatMul by weights in eight bits, whose left side gets them as it is computed.

    These are the nodes that onnxruntime computes as one. Source: its dynamic quantization, as in `weights.py`.
    """
    left, out = node.input[0], node.output[0]
    values, scale, zero = (f"{out}.left.{part}" for part in ("values", "scale", "zero"))
    whole, numbers, both = (f"{out}.{part}" for part in ("i32", "f32", "scales"))
    return [
        helper.make_node("DynamicQuantizeLinear", [left], [values, scale, zero]),
        helper.make_node("MatMulInteger", [values, weights, zero, zeros], [whole]),
        helper.make_node("Cast", [whole], [numbers], to=TensorProto.FLOAT),
        helper.make_node("Mul", [scale, scales], [both]),
        helper.make_node("Mul", [numbers, both], [out]),
    ]


def factorise_embedding(model: ModelProto, rank: int) -> float:
    """Replace embeddings by two factors, (rows, rank) and (rank, width), and return what is kept of them.

    The factors are those of the truncated singular value decomposition, so no others of this rank are nearer; what is
    kept is the share of the squared norm. Source of the layout: OFA, https://arxiv.org/abs/2311.08849.

    Raises:
        ConversionRefused: there is no embedding, or its width is not larger than the rank.
    """
    tables, kept, whole = tables_of(model), 0.0, 0.0
    if not tables:
        raise ConversionRefused("The graph has no embedding that could be factorised.")
    for table in tables:
        weights = take_initializer(model.graph, table.name).astype(np.float32)
        if not 0 < rank < weights.shape[1]:
            raise ConversionRefused(
                f"A rank of {rank} does not make an embedding of width {weights.shape[1]} smaller.",
                remedy=f"Give one from 1 to {weights.shape[1] - 1}.",
            )
        # The right singular vectors are the eigenvectors of a small matrix, in ascending order.
        values, vectors = np.linalg.eigh(weights.T.astype(np.float64) @ weights)
        base = vectors[:, ::-1][:, :rank].astype(np.float32)
        kept, whole = kept + float(values[::-1][:rank].sum()), whole + float(values.sum())
        add_initializer(model.graph, table.name, weights @ base)
        up, down = f"{table.name}.up", f"{table.name}.down"
        add_initializer(model.graph, up, np.ascontiguousarray(base.T))
        if table.heads:
            add_initializer(model.graph, down, base)

        def change(node: NodeProto, table: Table = table, up: str = up, down: str = down) -> list[NodeProto] | None:
            out = node.output[0]
            if out in table.gathers:
                read = helper.make_node("Gather", [table.name, node.input[1]], [f"{out}.narrow"], axis=0)
                return [read, helper.make_node("MatMul", [f"{out}.narrow", up], [out])]
            if out in table.heads:
                narrow = helper.make_node("MatMul", [node.input[0], down], [f"{out}.narrow"])
                return [narrow, helper.make_node("MatMul", [f"{out}.narrow", node.input[1]], [out])]
            return None

        rewrite(model.graph, change)
    return kept / whole


def gemm_to_matmul(model: ModelProto) -> None:
    """Write products that add a bias, such as those of GPT-2, as a MatMul and an Add, which quantizers know."""
    names = {tensor.name for tensor in model.graph.initializer}
    turned: dict[str, str] = {}

    def change(node: NodeProto) -> list[NodeProto] | None:
        if node.op_type != "Gemm" or node.input[1] not in names:
            return None
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if given.get("transA") or given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0:
            return None
        weights, out = node.input[1], node.output[0]
        if given.get("transB"):
            if weights not in turned:
                turned[weights] = f"{weights}.turned"
                array = numpy_helper.to_array(_tensor(model.graph, weights))
                add_initializer(model.graph, turned[weights], np.ascontiguousarray(array.T))
            weights = turned[weights]
        if len(node.input) < 3 or not node.input[2]:
            return [helper.make_node("MatMul", [node.input[0], weights], [out])]
        product = helper.make_node("MatMul", [node.input[0], weights], [f"{out}.product"])
        return [product, helper.make_node("Add", [f"{out}.product", node.input[2]], [out])]

    rewrite(model.graph, change)
    drop_unread(model.graph, turned)


def quantized_rows(weights: Array) -> tuple[Array, Array]:
    """Rows in unsigned eight bits around `ZERO`, shape as `weights`, and the scale of each row."""
    scales = np.abs(weights).max(axis=1) / 127
    scales[scales == 0] = 1
    rows = np.rint(weights / scales[:, None])
    rows += ZERO
    return rows.astype(np.uint8), scales.astype(np.float32)


def readers_of(graph: GraphProto) -> dict[str, list[NodeProto]]:
    """The nodes that read each name."""
    found: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            found.setdefault(name, []).append(node)
    return found


def rewrite(graph: GraphProto, change: Callable[[NodeProto], list[NodeProto] | None]) -> None:
    """Put in the place of each node what `change` makes of it; None leaves it."""
    nodes = [each for node in graph.node for each in (_or(change(node), node))]
    del graph.node[:]
    graph.node.extend(nodes)


def _or(changed: list[NodeProto] | None, node: NodeProto) -> list[NodeProto]:
    return [node] if changed is None else changed


def drop_transposes(graph: GraphProto, name: str) -> None:
    """Take out what transposes a constant."""
    rewrite(graph, lambda node: [] if node.op_type == "Transpose" and node.input[0] == name else None)


def drop_unread(graph: GraphProto, names: Sequence[str] | dict[str, str]) -> None:
    """Take those of these initializers out that no node reads any more."""
    read = {name for node in graph.node for name in node.input}
    for name in names:
        if name not in read:
            take_initializer(graph, name)


def add_initializer(graph: GraphProto, name: str, array: Array | np.generic) -> None:
    """Add a constant."""
    graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))


def take_initializer(graph: GraphProto, name: str) -> Array:
    """Take a constant out and return it."""
    at = next(at for at, tensor in enumerate(graph.initializer) if tensor.name == name)
    array: Array = numpy_helper.to_array(graph.initializer[at])
    del graph.initializer[at]
    return array


def _tensor(graph: GraphProto, name: str) -> TensorProto:
    found: TensorProto = next(tensor for tensor in graph.initializer if tensor.name == name)
    return found


def _gathers_rows(node: NodeProto, table: str, producers: dict[str, NodeProto]) -> bool:
    if node.op_type != "Gather" or node.input[0] != table:
        return False
    if any(each.name == "axis" and each.i != 0 for each in node.attribute):
        return False
    name = node.input[1]
    while name in producers and producers[name].op_type in _SAME_VALUES:
        name = producers[name].input[0]
    return bool(name == IDS)


def _outputs(nodes: Sequence[NodeProto]) -> frozenset[str]:
    return frozenset(node.output[0] for node in nodes)
