"""Models with random weights have the sizes of real ones, and run."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from benchmarks.synthetic import SHAPES, Shape, planned, write
from runtime.backends.base import Chunk
from runtime.backends.load import load_decoder
from runtime.config import EngineConfig
from runtime.hardware.plan import plan
from runtime.hardware.probe import probe
from runtime.models.inspect import check_loadable, read_header
from tests.runtime.hardware import LLAMA_1B, LLAMA_7B

SMALL = Shape(8, 256, 512, 4, 2, 1000, 512, is_tied=False)


@pytest.mark.parametrize(("name", "real"), [("1b", LLAMA_1B), ("7b", LLAMA_7B)])
def test_a_synthetic_model_has_the_bytes_of_the_real_one(name: str, real: object) -> None:
    sizes = {tensor.type: gguf.GGML_QUANT_SIZES[tensor.type] for tensor in planned(SHAPES[name])}
    num_bytes = sum(
        tensor.rows * tensor.columns // sizes[tensor.type][0] * sizes[tensor.type][1]
        for tensor in planned(SHAPES[name])
    )
    assert num_bytes == pytest.approx(getattr(real, "size_bytes"), rel=1e-3)  # noqa: B009  # one of two shapes


def test_its_weights_are_sound_and_it_computes_numbers_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    write(path, "small", SMALL)
    header = read_header(path)
    check_loadable(header)
    assert header.quantization == "Q4_K_M"
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.tensor_type in {gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K}:
            weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            assert np.isfinite(weights).all() and abs(weights.mean()) < 2e-3 and 0.01 < weights.std() < 0.04
    loaded = load_decoder(path, plan(probe(), header.shape(), EngineConfig(max_context=512)))
    logits = loaded.decoder.forward([Chunk(0, 0, [1, 2, 3], num_logits=1)])
    assert np.isfinite(logits).all() and logits.std() > 0
    loaded.close()


def test_the_same_seed_writes_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, "small", SMALL, seed=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
