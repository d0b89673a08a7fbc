"""What is summed up while llama.cpp computes: the same as transformers shows, and as llama.cpp's own tool."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
import torch

from converters.calibration.calibrate import Request, calibrate
from converters.calibration.chunks import TokenChunk
from converters.calibration.collect import Collector, collect
from converters.calibration.importance import Importances
from converters.gguf.imatrix import read_imatrix
from converters.gguf.nodes import Node, check_layout, operation
from converters.progress import NoSteps
from runtime.backends.llama.model import LlamaModel
from runtime.errors import ConfigurationInvalid, InferenceFailed
from runtime.hardware.ggml import load_ggml
from tests.converters.calibration.conftest import Calibrable
from tests.converters.families import Families
from tests.tiny.gguf import REMOVED, write_tiny_gguf

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def collected(path: Path, chunks: dict[str, list[TokenChunk]], size: int = 128) -> dict[str, Importances]:
    model = LlamaModel(path)
    try:
        return collect(model, chunks, size, NoSteps())
    finally:
        model.close()


def chunk(tokens: list[int], weight: float = 1) -> TokenChunk:
    return TokenChunk(tokens, np.full(len(tokens), weight))


def random_tokens(count: int, *, seed: int = 1) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(3, 300, count)]


def sums_by_hooks(model: Any, chunks: list[TokenChunk]) -> dict[str, np.ndarray[Any, Any]]:
    """Sums of squares of what transformers multiplies each linear layer of the blocks by."""
    sums: dict[str, Any] = {}

    def watch(name: str) -> Any:
        def hook(_module: Any, inputs: Any) -> None:
            rows = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).double().numpy()
            sums[name] = sums.get(name, 0) + (rows**2).sum(axis=0)

        return hook

    hooks = []
    for name, module in model.named_modules():
        parts = name.split(".")
        if parts[:2] == ["model", "layers"] and ".".join(parts[3:]) in NAMES:
            ours = f"blk.{parts[2]}.{NAMES['.'.join(parts[3:])]}.weight"
            hooks.append(module.register_forward_pre_hook(watch(ours)))
    with torch.no_grad():
        for each in chunks:
            model(input_ids=torch.tensor([each.tokens]))
    for hook in hooks:
        hook.remove()
    return sums


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3", "qwen3"])
def test_sums_are_those_that_transformers_shows(family: str, families: Families) -> None:
    chunks = [chunk(random_tokens(100, seed=1)), chunk(random_tokens(128, seed=2)), chunk(random_tokens(5, seed=3))]
    wanted = sums_by_hooks(families[family].model, chunks)
    found = collected(families[family].converted.path, {"eng_Latn": chunks})["eng_Latn"]
    assert set(found) == set(wanted)
    assert len(found) == 7 * families[family].model.config.num_hidden_layers
    for name, sums in wanted.items():
        assert found[name].counts == pytest.approx([233])
        assert found[name].squares[0] == pytest.approx(sums, rel=0.01), name


def test_the_product_with_the_vocabulary_is_left_out_and_skipping_it_changes_nothing(families: Families) -> None:
    one = chunk(random_tokens(64))
    found = collected(families["llama"].converted.path, {"a": [one], "b": [one]})
    assert "output.weight" not in found["a"]
    # From the second chunk on, the graph ends before that product.
    for name, each in found["a"].items():
        assert (found["b"][name].squares == each.squares).all()


def test_a_token_counts_as_often_as_its_weight_says(families: Families) -> None:
    tokens, path = random_tokens(32), families["llama"].converted.path
    found = collected(path, {"once": [chunk(tokens)], "thrice": [chunk(tokens, 3)], "twice": [chunk(tokens)] * 2})
    for name, once in found["once"].items():
        assert found["thrice"][name].squares == pytest.approx(3 * once.squares)
        assert found["thrice"][name].counts == pytest.approx([96])
        assert found["twice"][name].squares == pytest.approx(2 * once.squares)
    # What a single token adds is not what the others add.
    first = TokenChunk(tokens, np.eye(32)[0])
    alone = collected(path, {"whole": [first], "cut": [chunk(tokens[:1])]})
    for name, cut in alone["cut"].items():
        assert alone["whole"][name].squares == pytest.approx(cut.squares, rel=1e-3)


def mixture(path: Path) -> Path:
    """A Llama of four experts, of which two are used for each token."""
    random = np.random.default_rng(5)
    changes: dict[str, Any] = {}
    for block in range(2):
        for name, rows, columns in (("gate", 96, 64), ("up", 96, 64), ("down", 64, 96)):
            changes[f"blk.{block}.ffn_{name}.weight"] = REMOVED
            experts = random.normal(0, columns**-0.5, (4, rows, columns)).astype(np.float32)
            changes[f"blk.{block}.ffn_{name}_exps.weight"] = experts
        changes[f"blk.{block}.ffn_gate_inp.weight"] = random.normal(0, 1, (4, 64)).astype(np.float32)
    counts = {"llama.expert_count": 4, "llama.expert_used_count": 2}
    return write_tiny_gguf(path, metadata=counts, tensors=changes)


def test_experts_are_summed_up_each_by_itself(tmp_path: Path) -> None:
    tokens = random_tokens(100)
    found = collected(mixture(tmp_path / "moe.gguf"), {"eng_Latn": [chunk(tokens)]})["eng_Latn"]
    for block in range(2):
        router = found[f"blk.{block}.ffn_gate_inp.weight"]
        for name in ("gate", "up"):
            experts = found[f"blk.{block}.ffn_{name}_exps.weight"]
            assert experts.squares.shape == (4, 64)
            assert len(set(experts.counts)) > 1
            # Each token goes to two experts, with what the router saw.
            assert experts.counts.sum() == 2 * router.counts[0] == 200
            assert experts.squares.sum(axis=0) == pytest.approx(2 * router.squares[0], rel=1e-5)
        assert found[f"blk.{block}.ffn_down_exps.weight"].squares.shape == (4, 96)


def test_the_experts_of_a_single_token_are_the_two_that_counted(tmp_path: Path) -> None:
    found = collected(mixture(tmp_path / "moe.gguf"), {"eng_Latn": [chunk([7])]})["eng_Latn"]
    experts, router = found["blk.0.ffn_up_exps.weight"], found["blk.0.ffn_gate_inp.weight"]
    assert sorted(experts.counts) == [0, 0, 1, 1]
    for count, squares in zip(experts.counts, experts.squares, strict=True):
        assert squares == pytest.approx(count * router.squares[0], rel=1e-5)


def test_activations_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    down = np.full((64, 96), np.float32(3e38))
    path = write_tiny_gguf(tmp_path / "a.gguf", tensors={"blk.0.ffn_down.weight": down})
    with pytest.raises(InferenceFailed, match=r"blk\.1\.attn_\w+\.weight is multiplied by are no finite numbers"):
        collected(path, {"eng_Latn": [chunk(random_tokens(20))]})


def test_ctrl_c_ends_a_pass_at_its_next_product(families: Families, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    add = Collector._add

    def interrupted(self: Collector, node: Node) -> None:
        add(self, node)
        seen.append(node.source(0).weight_name())
        if len(seen) == 3:
            self.stop()

    monkeypatch.setattr(Collector, "_add", interrupted)
    collected(families["llama"].converted.path, {"eng_Latn": [chunk(random_tokens(20))]})
    assert len(seen) == 3


def test_the_layout_of_nodes_is_that_of_the_library() -> None:
    """Each field of a product that the library itself builds."""
    check_layout()
    libggml = load_ggml()
    for name in ("ggml_init", "ggml_new_tensor_2d", "ggml_mul_mat", "ggml_set_name", "ggml_get_data", "ggml_view_2d"):
        getattr(libggml, name).restype = ctypes.c_void_p

    class Parameters(ctypes.Structure):
        _fields_ = (("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))

    size, pointer = ctypes.c_int64, ctypes.c_void_p
    context = pointer(libggml.ggml_init(Parameters(1 << 20, None, False)))
    weight = pointer(libggml.ggml_new_tensor_2d(context, llama_cpp.GGML_TYPE_F16, size(64), size(5)))
    rows = pointer(libggml.ggml_new_tensor_2d(context, llama_cpp.GGML_TYPE_F32, size(64), size(7)))
    libggml.ggml_set_name(weight, b"CUDA0#blk.0.attn_q.weight#0")
    product = Node.from_address(int(libggml.ggml_mul_mat(context, weight, rows)))
    assert (product.op, tuple(product.ne), product.type) == (
        operation("MUL_MAT"),
        (5, 7, 1, 1),
        llama_cpp.GGML_TYPE_F32,
    )
    assert (product.src[0], product.src[1], product.src[2]) == (weight.value, rows.value, None)
    assert product.source(0).weight_name() == "blk.0.attn_q.weight"
    seen = product.source(1)
    assert (tuple(seen.nb), seen.data) == ((4, 256, 1792, 1792), libggml.ggml_get_data(rows))
    numbers = np.arange(448, dtype=np.float32).reshape(7, 64)
    ctypes.memmove(seen.data, numbers.ctypes.data, numbers.nbytes)
    assert (seen.floats()[0, 0] == numbers).all()
    part = pointer(libggml.ggml_view_2d(context, rows, size(2), size(7), ctypes.c_size_t(256), ctypes.c_size_t(8)))
    view = Node.from_address(int(part.value or 0))
    assert (view.view_src, view.view_offs) == (rows.value, 8)
    assert (view.floats()[0, 0] == numbers[:, 2:4]).all()
    with pytest.raises(InferenceFailed, match=r"'blk\.0\.attn_q\.weight' in type 1"):
        product.source(0).floats()
    libggml.ggml_free(context)


def test_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_ggml(), "ggml_tensor_overhead", lambda: 376)
    with pytest.raises(ConfigurationInvalid, match="keeps tensors of 344 bytes, not 336"):
        check_layout()


@pytest.mark.skipif(shutil.which("llama-imatrix") is None, reason="llama.cpp's own tool is not on the path")
def test_the_file_equals_that_of_llama_cpp_s_own_tool(calibrable: Calibrable, tmp_path: Path) -> None:
    text = calibrable.texts["tam_Taml"]
    theirs, ours = tmp_path / "theirs.gguf", tmp_path / "ours.gguf"
    command = ["llama-imatrix", "-m", str(calibrable.path), "-f", str(text), "-o", str(theirs), "-c", "128", "--no-ppl"]
    subprocess.run(command, check=True, capture_output=True)
    calibrate(Request(calibrable.path, ours, [f"tam={text}"]))
    wanted, found = read_imatrix(theirs), read_imatrix(ours)
    assert set(found.entries) == set(wanted.entries)
    assert (found.num_chunks, found.chunk_size) == (wanted.num_chunks, wanted.chunk_size)
    for name, entry in wanted.entries.items():
        assert found.entries[name].counts == pytest.approx(entry.counts)
        assert found.entries[name].squares == pytest.approx(entry.squares, rel=0.01)
