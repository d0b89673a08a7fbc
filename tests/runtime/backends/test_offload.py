"""How many layers cards have room for: buffers as llama.cpp really asks for them, cards made up."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runtime.backends.llama import library
from runtime.backends.llama.decoder import LlamaDecoder
from runtime.backends.llama.model import LlamaModel
from runtime.backends.llama.offload import fitted, measure
from runtime.config import EngineConfig
from runtime.hardware.plan import plan
from runtime.hardware.probe import probe
from runtime.models.inspect import read_header
from runtime.models.store import Store
from tests.runtime.hardware import LLAMA_7B, MIB, cuda, machine

EIGHT_GIB = cuda(7.5, 8)
ON_EIGHT = plan(machine(8, free_gib=24, cards=(EIGHT_GIB,)), LLAMA_7B, EngineConfig())


def gemma() -> Path:
    return Store().resolve("gemma-3-270m").path


def test_buffers_measured_on_paper_are_those_that_a_loaded_model_takes() -> None:
    header = read_header(gemma())
    chosen = plan(probe(), header.shape(), EngineConfig(max_context=2048, max_sequences=4))
    on_paper = measure(header.path, chosen, 0, lambda model, plan: LlamaDecoder(model, plan).close)
    model = LlamaModel(header.path)
    with library.listening() as lines:
        LlamaDecoder(model, chosen).close()
    model.close()
    told = [line for line in lines if "compute buffer size =" in line or "output buffer size =" in line]
    real = sum(float(line.split("=")[1].split()[0]) for line in told)
    assert on_paper == {"CPU": pytest.approx(real * MIB)}
    assert on_paper["CPU"] > 64 * MIB  # at least the logits of a micro-batch of 64


def test_a_header_tells_the_bytes_of_each_layer_and_of_the_head() -> None:
    header = read_header(gemma())
    shape = header.shape()
    others = sum(tensor.size for name, tensor in header.tensors.items() if not name.startswith("blk."))
    assert sum(shape.block_bytes) + others == shape.size_bytes
    assert len(shape.block_bytes) == shape.block_count
    assert shape.output_bytes == header.tensors["token_embd.weight"].size  # its head is its embedding


def test_a_plan_that_fits_beside_the_measured_buffers_is_kept() -> None:
    assert ON_EIGHT.gpu_layers == 33
    assert fitted(ON_EIGHT, LLAMA_7B, (EIGHT_GIB,), lambda _: {"CUDA0": 300 * MIB}) is ON_EIGHT


def test_where_buffers_take_more_than_was_estimated_fewer_layers_go_to_the_card() -> None:
    measured: list[int] = []

    def large(layers: int) -> dict[str, float]:
        measured.append(layers)
        return {"CUDA0": 2500 * MIB, "CUDA_Host": 9000 * MIB}

    found = fitted(ON_EIGHT, LLAMA_7B, (EIGHT_GIB,), large)
    assert 20 < found.gpu_layers < 33
    assert found.reasons["gpu_layers"].startswith(f"{found.gpu_layers} of 33 fit on CUDA0 (7.50 GiB free)")
    assert len(measured) <= 7
    # One more would not fit, this many do.
    assert (
        fitted(dataclasses.replace(ON_EIGHT, gpu_layers=found.gpu_layers), LLAMA_7B, (EIGHT_GIB,), large).gpu_layers
        == found.gpu_layers
    )
    more = dataclasses.replace(ON_EIGHT, gpu_layers=found.gpu_layers + 1)
    assert fitted(more, LLAMA_7B, (EIGHT_GIB,), large).gpu_layers == found.gpu_layers


def test_where_hardly_any_layer_would_fit_the_processor_computes() -> None:
    found = fitted(ON_EIGHT, LLAMA_7B, (EIGHT_GIB,), lambda _: {"CUDA0": 6500 * MIB})
    assert found.gpu_layers == 0


def test_each_of_several_cards_must_have_room_for_its_own_part() -> None:
    cards = (cuda(11.4, 12), cuda(3.0, 12, 1))
    two = plan(machine(16, free_gib=50, cards=cards), LLAMA_7B, EngineConfig())
    assert fitted(two, LLAMA_7B, cards, lambda _: {"CUDA0": 100 * MIB, "CUDA1": 100 * MIB}).gpu_layers == 33
    crowded = fitted(two, LLAMA_7B, cards, lambda _: {"CUDA0": 100 * MIB, "CUDA1": 2400 * MIB})
    assert crowded.gpu_layers < 33
