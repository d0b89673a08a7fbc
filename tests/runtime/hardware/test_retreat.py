"""A card that runs out of memory, or does not start, costs speed and not the answer."""

from __future__ import annotations

import dataclasses

import pytest

from runtime.errors import CardFailed
from runtime.hardware.plan import Plan
from runtime.hardware.retreat import load_or_retreat, no_room, retreat, tells_of
from tests.fakes.worker import PLAN

ON_CARD = dataclasses.replace(PLAN, gpu_layers=33)


@pytest.mark.parametrize(
    "line",
    [
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 2048.00 MiB on device 0: cudaMalloc failed: out of memory",
        "CUDA error: out of memory",
        "ggml_gallocr_reserve_n_impl: failed to allocate CUDA0 buffer of size 536870912",
        "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
        "ggml_vulkan: Device memory allocation of size 1073741824 failed.",
        "vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
        "CUBLAS error: CUBLAS_STATUS_ALLOC_FAILED",
        "BFCArena::AllocateRawInternal Available memory of 1024 is smaller than requested bytes of 4096",
        "Failed to allocate memory for requested buffer of size 4294967296",
    ],
)
def test_what_backends_say_when_a_card_is_full_is_known(line: str) -> None:
    assert tells_of(["loading went well", line])


@pytest.mark.parametrize(
    "line",
    [
        "ggml_gallocr_reserve_n_impl: failed to allocate CPU buffer of size 536870912",
        "llama_model_load: error loading model: missing tensor 'blk.0.attn_q.weight'",
        "CUDA error: an illegal memory access was encountered",
    ],
)
def test_other_faults_are_not_taken_for_it(line: str) -> None:
    assert not tells_of([line])


def test_what_does_not_fit_is_loaded_once_more_with_half_of_the_layers_and_the_plan_says_why() -> None:
    tried: list[int] = []

    def load(plan: Plan) -> Plan:
        tried.append(plan.gpu_layers)
        if plan.gpu_layers > 20:
            raise no_room("a model", "cudaMalloc failed: out of memory")
        return plan

    found = load_or_retreat(ON_CARD, load)
    assert tried == [33, 16]
    assert found.reasons["gpu_layers"] == "The cards ran out of memory with 33 layers: 16 are left on them."


def test_what_does_not_fit_then_either_fails_clearly() -> None:
    tried: list[int] = []

    def load(plan: Plan) -> Plan:
        tried.append(plan.gpu_layers)
        raise no_room("a model", "cudaMalloc failed: out of memory")

    with pytest.raises(CardFailed, match=r"too little free memory for a model.*End other programs") as refused:
        load_or_retreat(ON_CARD, load)
    assert tried == [33, 16]
    assert "out of memory" in refused.value.message


def test_without_a_card_nothing_is_tried_twice() -> None:
    tried: list[int] = []

    def load(plan: Plan) -> Plan:
        tried.append(plan.gpu_layers)
        raise no_room("a model", "failed")

    with pytest.raises(CardFailed):
        load_or_retreat(PLAN, load)
    assert tried == [0]


def test_graphs_go_back_to_the_processor_as_a_whole() -> None:
    plan = retreat(dataclasses.replace(PLAN, provider="cuda"))
    assert plan.provider == "cpu" and "the processor computes" in plan.reasons["provider"]
