"""LoRA files: those that belong to a model are taken, all others are refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.backends.load import load_decoder
from runtime.config import EngineConfig
from runtime.errors import AdapterNotFound, ModelFileInvalid
from runtime.hardware.plan import plan
from runtime.hardware.probe import probe
from runtime.models.adapter import AdapterFiles, check_adapter
from runtime.models.inspect import Header, read_header
from tests.tiny.gguf import REMOVED, write_tiny_gguf, write_tiny_lora

MATRIX = "blk.0.attn_q.weight"


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("base") / "base.gguf")


@pytest.fixture(scope="module")
def base(base_path: Path) -> Header:
    return read_header(base_path)


def zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize("targets", [("attn_q", "attn_v"), ("ffn_down",), ("output",)])
def test_an_adapter_of_the_model_is_taken_by_the_check_and_by_llama_cpp(
    tmp_path: Path, base_path: Path, base: Header, targets: tuple[str, ...]
) -> None:
    path = write_tiny_lora(tmp_path / "lora.gguf", base_path, targets=targets)
    check_adapter(path, base)
    loaded = load_decoder(base_path, plan(probe(), base.shape(), EngineConfig(max_context=256)))
    loaded.decoder.attach("lora", path)
    loaded.close()


def test_an_adapter_of_the_embeddings_lies_the_other_way(tmp_path: Path, base_path: Path, base: Header) -> None:
    name, rank = "token_embd.weight", 4
    columns, rows = base.tensors[name].shape
    matrices = {f"{name}.lora_a": zeros(rows, rank), f"{name}.lora_b": zeros(columns, rank)}
    path = write_tiny_lora(tmp_path / "lora.gguf", base_path, targets=(), tensors=matrices)
    check_adapter(path, base)
    loaded = load_decoder(base_path, plan(probe(), base.shape(), EngineConfig(max_context=256)))
    loaded.decoder.attach("lora", path)
    loaded.close()
    matrices[f"{name}.lora_b"] = zeros(columns, rank + 1)
    with pytest.raises(ModelFileInvalid, match="do not fit"):
        check_adapter(write_tiny_lora(tmp_path / "bad.gguf", base_path, targets=(), tensors=matrices), base)


def test_an_embedding_that_is_the_head_too_takes_no_adapter(tmp_path: Path) -> None:
    base_path = write_tiny_gguf(tmp_path / "tied.gguf", tensors={"output.weight": REMOVED})
    base = read_header(base_path)
    name, rank = "token_embd.weight", 4
    columns, rows = base.tensors[name].shape
    matrices = {f"{name}.lora_a": zeros(rows, rank), f"{name}.lora_b": zeros(columns, rank)}
    path = write_tiny_lora(tmp_path / "lora.gguf", base_path, targets=(), tensors=matrices)
    with pytest.raises(
        ModelFileInvalid, match=r"changes the embedding, with which tied\.gguf computes its answers too"
    ):
        check_adapter(path, base)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metadata": {"general.type": "model"}}, "is no LoRA adapter"),
        ({"metadata": {"adapter.type": "control_vector"}}, "is no LoRA adapter"),
        ({"metadata": {"adapter.type": REMOVED}}, "is no LoRA adapter"),
        ({"metadata": {"general.architecture": "qwen2"}}, "is for the architecture 'qwen2', but base.gguf is 'llama'"),
        ({"metadata": {"adapter.lora.alpha": float("nan")}}, "no finite number"),
        ({"metadata": {"adapter.lora.alpha": "much"}}, "no finite number"),
        ({"metadata": {"adapter.alora.invocation_tokens": [1, 2]}}, "activated LoRA"),
        ({"targets": ()}, "changes nothing"),
        ({"tensors": {f"{MATRIX}.lora_b": REMOVED}}, f"only one of the two matrices for '{MATRIX}'"),
        ({"tensors": {"blk.9.attn_q.weight.lora_a": zeros(4, 64)}}, "'blk.9.attn_q.weight', which base.gguf does not"),
        ({"tensors": {"extra": zeros(4, 64)}}, "'extra', which base.gguf does not have"),
        ({"tensors": {f"{MATRIX}.lora_a": zeros(4, 65)}}, "do not fit"),
        ({"tensors": {f"{MATRIX}.lora_b": zeros(63, 4)}}, "do not fit"),
        ({"tensors": {f"{MATRIX}.lora_a": zeros(5, 64)}}, "do not fit"),
        ({"tensors": {f"{MATRIX}.lora_a": zeros(4)}}, "do not fit"),
        ({"tensors": {f"{MATRIX}.lora_a": np.zeros((4, 64), np.int32)}}, "as I32"),
    ],
)
def test_any_other_file_is_refused_with_its_fault(
    tmp_path: Path, base_path: Path, base: Header, changes: dict[str, Any], sentence: str
) -> None:
    path = write_tiny_lora(tmp_path / "lora.gguf", base_path, **changes)
    with pytest.raises(ModelFileInvalid) as caught:
        check_adapter(path, base)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, base_path: Path, base: Header) -> None:
    path = write_tiny_lora(tmp_path / "lora.gguf", base_path)
    data = path.read_bytes()
    for size in (0, 3, 100, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ModelFileInvalid):
            check_adapter(path, base)


def test_files_put_into_the_folder_are_found_at_once_and_given_ones_come_first(tmp_path: Path) -> None:
    given = {"a": {"north": Path("given.gguf")}}
    files = AdapterFiles(given, tmp_path)
    assert files.of("a") == given["a"]
    for name in ("north", "south"):
        (tmp_path / f"{name}.gguf").touch()
    assert files.find("a", "north") == Path("given.gguf")
    assert files.find("b", "north") == tmp_path / "north.gguf"
    assert files.find("a", "south") == tmp_path / "south.gguf"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "north.gguf", "", "sub/north", "."])
def test_a_name_reaches_nothing_outside_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "adapters"
    folder.mkdir()
    (tmp_path / "secret.gguf").touch()
    (folder / "north.gguf").touch()
    with pytest.raises(AdapterNotFound, match="It has north"):
        AdapterFiles({}, folder).find("a", name)
