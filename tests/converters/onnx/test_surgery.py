"""An embedding in eight bits, factorised or with fewer rows gives what its rows gave, and a head tied to it stays so."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no types
import pytest
from onnx import ModelProto, TensorProto, helper

from converters.onnx.rows import keep_rows
from converters.onnx.surgery import (
    add_initializer,
    factorise_embedding,
    gemm_to_matmul,
    quantize_embedding,
    quantized_rows,
    tables_of,
)
from converters.onnx.weights import narrow_columns, quantized_columns, require_operators, to_int4, to_int8
from runtime.errors import ConversionRefused

ROWS, WIDTH = 96, 64
IDS = np.array([[3, 95, 0, 41]])


def tied_model(table: np.ndarray[Any, Any]) -> ModelProto:
    """Rows by ids, a matrix, and a head that is the embedding transposed, with a bias: as an export writes it."""
    random = np.random.default_rng(1)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["rows", "weights"], ["states"]),
        helper.make_node("MatMul", ["states", "turned"], ["head"]),
        helper.make_node("Add", ["head", "bias"], ["logits"]),
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", len(table)])
    model = helper.make_model(
        helper.make_graph(nodes, "tied", [ids], [logits]), opset_imports=[helper.make_opsetid("", 20)], ir_version=9
    )
    weights = np.eye(WIDTH, dtype=np.float32) + random.normal(0, 0.02, (WIDTH, WIDTH)).astype(np.float32)
    for name, array in (("table", table), ("weights", weights), ("bias", np.arange(len(table), dtype=np.float32))):
        add_initializer(model.graph, name, array)
    return model


def table_of(rank: int = WIDTH) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(0)
    return (random.normal(size=(ROWS, rank)) @ random.normal(size=(rank, WIDTH))).astype(np.float32)


def run(model: ModelProto, ids: np.ndarray[Any, Any] = IDS) -> np.ndarray[Any, Any]:
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: np.ndarray[Any, Any] = session.run(None, {"input_ids": ids})[0]
    return found


def nearness(model: ModelProto, wanted: np.ndarray[Any, Any]) -> float:
    found = run(model)
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def test_an_embedding_in_eight_bits_is_there_once_for_rows_and_head() -> None:
    model = tied_model(table_of())
    wanted = run(model)
    assert quantize_embedding(model) == 1
    assert nearness(model, wanted) < 0.02
    large = [each for each in model.graph.initializer if int(np.prod(each.dims)) == ROWS * WIDTH]
    assert [(each.data_type, list(each.dims)) for each in large] == [(TensorProto.UINT8, [ROWS, WIDTH])]
    assert tables_of(model) == []


def test_rows_in_eight_bits_are_as_near_as_half_a_step_of_their_own_scale() -> None:
    table = table_of() * np.logspace(-3, 3, ROWS)[:, None].astype(np.float32)
    table[7] = 0
    rows, scales = quantized_rows(table)
    assert rows.dtype == np.uint8
    back = (rows.astype(np.float32) - 128) * scales[:, None]
    assert (np.abs(back - table).max(axis=1) <= scales / 2 * 1.0001).all()
    assert not back[7].any()


def test_columns_in_eight_bits_use_the_range_that_each_has() -> None:
    weights = table_of() + np.linspace(0, 40, WIDTH, dtype=np.float32)
    columns, scales, zeros = quantized_columns(weights)
    back = (columns.astype(np.float32) - zeros) * scales
    assert (np.abs(back - weights).max(axis=0) <= scales * 1.0001).all()
    assert columns.min() == 0
    assert columns.max() == 255


def test_columns_in_seven_bits_cannot_overflow_sixteen_when_two_products_are_added() -> None:
    columns, scales, zeros = narrow_columns(table_of())
    assert columns.dtype == np.int8
    assert 2 * 255 * np.abs(columns.astype(int)).max() < 2**15
    assert not zeros.any()
    assert (np.abs(columns * scales - table_of()).max(axis=0) <= scales / 2 * 1.0001).all()


def test_an_embedding_of_a_low_rank_is_factorised_without_loss() -> None:
    model = tied_model(table_of(rank=10))
    wanted = run(model)
    assert factorise_embedding(model, 10) == pytest.approx(1, abs=1e-6)
    assert nearness(model, wanted) < 1e-4
    (table,) = tables_of(model)
    sizes = {each.name: list(each.dims) for each in model.graph.initializer}
    assert sizes[table.name] == [ROWS, 10]
    assert len(table.heads) == 1
    assert not any(size == [ROWS, WIDTH] for size in sizes.values())


def test_no_factors_of_a_rank_are_nearer_than_those_of_the_decomposition() -> None:
    table = table_of()
    model = tied_model(table)
    kept = factorise_embedding(model, 20)
    values = np.linalg.svd(table, compute_uv=False) ** 2
    assert kept == pytest.approx(values[:20].sum() / values.sum(), rel=1e-5)


@pytest.mark.parametrize("rank", [0, WIDTH])
def test_a_rank_that_makes_nothing_smaller_is_refused(rank: int) -> None:
    with pytest.raises(ConversionRefused, match=f"from 1 to {WIDTH - 1}"):
        factorise_embedding(tied_model(table_of()), rank)


@pytest.mark.parametrize("changes", [(), (quantize_embedding,), (to_int8, quantize_embedding), (to_int4,)])
def test_rows_that_are_kept_give_the_same_numbers_as_before(changes: tuple[Any, ...]) -> None:
    model = tied_model(table_of())
    for change in changes:
        change(model)
    require_operators(model)
    whole, rows = run(model), [0, 3, 41, 95, 8]
    keep_rows(model, rows, ROWS)
    ids = np.array([[rows.index(row) for row in IDS[0]]])
    assert np.array_equal(run(model, ids), whole[..., rows])
    assert [each.dim_value for each in model.graph.output[0].type.tensor_type.shape.dim][-1] == len(rows)


def test_rows_of_a_head_in_four_bits_are_kept_with_their_scales() -> None:
    model = tied_model(table_of())
    turned = next(node for node in model.graph.node if node.op_type == "Transpose")
    model.graph.node.remove(turned)
    add_initializer(model.graph, "turned", np.ascontiguousarray(table_of().T))
    assert to_int4(model) == 2
    require_operators(model)
    whole, rows = run(model), [95, 41, 3, 0]
    keep_rows(model, rows, ROWS)
    ids = np.array([[rows.index(row) for row in IDS[0]]])
    assert np.array_equal(run(model, ids), whole[..., rows])


def test_rows_are_kept_in_what_is_computed_by_a_condition_too() -> None:
    inner = tied_model(table_of())
    choice = helper.make_tensor_value_info("choice", TensorProto.BOOL, [])
    branches = {}
    for name in ("then", "else"):
        branch = helper.make_graph([], name, [], inner.graph.output)
        branch.CopyFrom(inner.graph)
        branch.name = name
        del branch.input[:]
        branches[f"{name}_branch"] = branch
    node = helper.make_node("If", ["choice"], ["logits"], **branches)
    graph = helper.make_graph([node], "both", [inner.graph.input[0], choice], list(inner.graph.output))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    rows = [0, 3, 41, 95]
    assert keep_rows(model, rows, ROWS) == 4  # table and bias, in each branch
    options = ort.SessionOptions()
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ids = np.array([[rows.index(row) for row in IDS[0]]])
    whole = run(inner)
    for chosen in (True, False):
        found = session.run(None, {"input_ids": ids, "choice": np.array(chosen)})[0]
        assert np.array_equal(found, whole[..., rows])


def test_rows_are_not_cut_where_another_size_is_the_same() -> None:
    model = tied_model(table_of())
    add_initializer(model.graph, "square", np.zeros((ROWS, ROWS), np.float32))
    with pytest.raises(ConversionRefused, match="square has the vocabulary's size, 96, twice"):
        keep_rows(model, [1, 2], ROWS)


@pytest.mark.parametrize("form", ["product", "turned", "four bits", "positions"])
def test_rows_are_not_cut_of_weights_that_are_of_no_token(form: str) -> None:
    model = tied_model(table_of())
    add_initializer(model.graph, "up", np.ones((WIDTH, ROWS), np.float32))
    add_initializer(model.graph, "down", np.ones((WIDTH, ROWS) if form == "turned" else (ROWS, WIDTH), np.float32))
    if form == "positions":
        nodes = [
            helper.make_node("Shape", ["input_ids"], ["sizes"]),
            helper.make_node("Gather", ["down", "sizes"], ["positions"]),
        ]
    else:
        nodes = [
            helper.make_node("MatMul", ["rows", "up"], ["wide"]),
            helper.make_node("Transpose", ["down"], ["columns"]),
            helper.make_node("MatMul", ["wide", "columns" if form == "turned" else "down"], ["narrow"]),
        ]
    model.graph.node.extend(nodes)
    if form == "four bits":
        assert to_int4(model)
    with pytest.raises(ConversionRefused, match="has the vocabulary's size, 96, and is no embedding or head"):
        keep_rows(model, [1, 2], ROWS)


def test_a_table_that_something_else_reads_is_left_alone() -> None:
    model = tied_model(table_of())
    model.graph.node.append(helper.make_node("Mul", ["table", "table"], ["squares"]))
    assert tables_of(model) == []
    assert quantize_embedding(model) == 0


@pytest.mark.parametrize("is_turned", [0, 1])
def test_a_product_that_adds_a_bias_is_written_as_two(is_turned: int) -> None:
    model = tied_model(table_of())
    weights = np.random.default_rng(2).normal(size=(WIDTH, 8)).astype(np.float32)
    given = np.ascontiguousarray(weights.T) if is_turned else weights
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Squeeze", ["rows", "first"], ["flat"]),
        helper.make_node("Gemm", ["flat", "given", "shift"], ["logits"], transB=is_turned),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name, array in (("given", given), ("shift", np.ones(8, np.float32)), ("first", np.array([0]))):
        add_initializer(model.graph, name, array)
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["sequence", 8])
    model.graph.output[0].CopyFrom(output)
    wanted = run(model)
    gemm_to_matmul(model)
    assert [node.op_type for node in model.graph.node][-2:] == ["MatMul", "Add"]
    assert np.allclose(run(model), wanted, atol=1e-5)
