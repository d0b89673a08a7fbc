"""The plan on made-up machines: the numbers expected stand in the table."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.config import EngineConfig
from runtime.errors import ConfigurationInvalid, ModelLoadFailed
from runtime.hardware import ggml
from runtime.hardware.choice import device_of
from runtime.hardware.plan import Plan, plan
from runtime.hardware.probe import Machine, NvidiaCard
from runtime.models.inspect import ModelShape
from tests.runtime.hardware import (
    GEMMA_270M,
    GIB,
    LLAMA_1B,
    LLAMA_7B,
    MIB,
    SMOLLM2_135M,
    cuda,
    machine,
    metal,
)

LIMITS = EngineConfig()

PI_4 = machine(4, free_gib=3.2, architecture="aarch64")
PI_4_BUSY = machine(4, free_gib=1.0, architecture="aarch64")
PI_5 = machine(4, free_gib=7.0, architecture="aarch64")
VM_2_CORES = machine(2, free_gib=22.5)
CONTAINER = machine(64, logical=128, usable_cpus=1, usable_cores=1, quota=1.0, free_gib=0.9)
LAPTOP = machine(8, logical=16, free_gib=11)
SERVER = machine(64, logical=128, free_gib=240)
M2 = machine(8, free_gib=6, cards=(metal(10.6),))
CUDA_4 = machine(6, logical=12, free_gib=12, cards=(cuda(3.6, 4),))
CUDA_8 = machine(8, logical=16, free_gib=24, cards=(cuda(7.5, 8),))
CUDA_24 = machine(12, logical=24, free_gib=50, cards=(cuda(23.2, 24),))
CUDA_80 = machine(32, logical=64, free_gib=200, cards=(cuda(79, 80),))
TWO_CUDA_4 = machine(16, logical=32, free_gib=50, cards=(cuda(3.4, 4), cuda(3.6, 4, 1)))
TWO_CUDA_12 = machine(16, logical=32, free_gib=50, cards=(cuda(11.4, 12), cuda(11.6, 12, 1)))
NO_CUDA_BUILD = machine(8, logical=16, free_gib=24, nvidia_cards=(NvidiaCard("RTX 4090", 24 * GIB),))
FULL_CARD = machine(8, logical=16, free_gib=24, cards=(cuda(0.4, 24),))
SMALL_HOST_BIG_CARD = machine(2, free_gib=2, cards=(cuda(23, 24),))
HALF_GB = machine(1, free_gib=0.4)

TABLE = [
    # machine, model: threads, context, cells, layers on the GPU, KV type, micro-batch
    ("Raspberry Pi 4 with 4 GB, 135M", PI_4, SMOLLM2_135M, (4, 8192, 16384, 0, "f16", 512)),
    ("Raspberry Pi 4 with 4 GB, 270M", PI_4, GEMMA_270M, (4, 8192, 16384, 0, "f16", 512)),
    ("Raspberry Pi 4 with 1 GB free, 270M", PI_4_BUSY, GEMMA_270M, (4, 8192, 12544, 0, "f16", 256)),
    ("Raspberry Pi 4 with 1 GB free, 1B", PI_4_BUSY, LLAMA_1B, (4, 4352, 4352, 0, "q8_0", 64)),
    ("Raspberry Pi 5 with 8 GB, 1B", PI_5, LLAMA_1B, (4, 8192, 16384, 0, "f16", 512)),
    ("Raspberry Pi 5 with 8 GB, 7B", PI_5, LLAMA_7B, (4, 4096, 4096, 0, "f16", 512)),
    ("VM of 2 cores and 24 GB, 270M", VM_2_CORES, GEMMA_270M, (2, 8192, 16384, 0, "f16", 512)),
    ("VM of 2 cores and 24 GB, 7B", VM_2_CORES, LLAMA_7B, (2, 4096, 8192, 0, "f16", 512)),
    ("container of 1 CPU and 1 GiB, 135M", CONTAINER, SMOLLM2_135M, (1, 8192, 8960, 0, "f16", 512)),
    ("container of 1 CPU and 1 GiB, 270M", CONTAINER, GEMMA_270M, (1, 8192, 11264, 0, "f16", 256)),
    ("laptop of 8 cores and 16 GB, 1B", LAPTOP, LLAMA_1B, (7, 8192, 16384, 0, "f16", 512)),
    ("laptop of 8 cores and 16 GB, 7B", LAPTOP, LLAMA_7B, (7, 4096, 4864, 0, "f16", 512)),
    ("server of 64 cores, 7B", SERVER, LLAMA_7B, (63, 4096, 8192, 0, "f16", 512)),
    ("M2 with Metal, 1B", M2, LLAMA_1B, (7, 8192, 16384, 17, "f16", 512)),
    ("M2 with Metal, 7B", M2, LLAMA_7B, (7, 4096, 4096, 33, "q8_0", 512)),
    ("4 GB card, 270M", CUDA_4, GEMMA_270M, (6, 8192, 16384, 19, "f16", 512)),
    ("4 GB card, 7B in part", CUDA_4, LLAMA_7B, (6, 4096, 4608, 17, "f16", 512)),
    ("8 GB card, 7B", CUDA_8, LLAMA_7B, (7, 4096, 4096, 33, "f16", 512)),
    ("24 GB card, 7B", CUDA_24, LLAMA_7B, (11, 4096, 8192, 33, "f16", 512)),
    ("80 GB card, 135M", CUDA_80, SMOLLM2_135M, (31, 8192, 16384, 31, "f16", 512)),
    ("two 4 GB cards, 7B", TWO_CUDA_4, LLAMA_7B, (15, 4096, 4096, 33, "q8_0", 512)),
    ("two 12 GB cards, 7B", TWO_CUDA_12, LLAMA_7B, (15, 4096, 8192, 33, "f16", 512)),
    ("a card that the build cannot use, 7B", NO_CUDA_BUILD, LLAMA_7B, (7, 4096, 8192, 0, "f16", 512)),
    ("a card nearly full, 7B", FULL_CARD, LLAMA_7B, (7, 4096, 8192, 0, "f16", 512)),
    ("2 GB of memory and a 24 GB card, 7B", SMALL_HOST_BIG_CARD, LLAMA_7B, (2, 4096, 8192, 33, "f16", 512)),
    ("512 MB, 135M", HALF_GB, SMOLLM2_135M, (1, 8192, 8192, 0, "q8_0", 256)),
]


@pytest.mark.parametrize(("here", "shape", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_plan_of(here: Machine, shape: ModelShape, expected: tuple[object, ...]) -> None:
    made = plan(here, shape, LIMITS)
    found = (made.threads, made.context_length, made.num_cells, made.gpu_layers, made.kv_type, made.ubatch_size)
    assert found == expected
    assert made.max_sequences == 16
    assert made.batch_size == 512
    assert made.flash_attention
    assert_within(made, here)


def assert_within(made: Plan, here: Machine) -> None:
    cards = sum(card.memory_free for card in here.llama.devices if card.type == "gpu" and card.backend != "Metal")
    assert made.estimated_bytes <= here.memory_available + cards


@pytest.mark.parametrize("shape", [GEMMA_270M, LLAMA_1B, LLAMA_7B], ids=["270M", "1B", "7B"])
def test_a_model_that_cannot_fit_names_what_it_needs_and_what_there_is(shape: ModelShape) -> None:
    with pytest.raises(ModelLoadFailed, match=r"needs (\d+) bytes .* but 295279001 bytes") as refusal:
        plan(HALF_GB, shape, LIMITS)
    needed = int(refusal.value.message.split()[3])
    assert needed > shape.size_bytes
    assert refusal.value.remedy


def test_the_estimate_adds_weights_kv_cache_and_compute_buffer() -> None:
    made = plan(VM_2_CORES, SMOLLM2_135M, LIMITS)
    weights, kv_cache, logits = 96_576_768, 360 * MIB, 96 * MIB  # llama.cpp reports 180 MiB for 8192 cells
    assert weights + kv_cache + logits < made.estimated_bytes < weights + kv_cache + logits + 32 * MIB


def test_every_field_has_a_reason_of_one_sentence() -> None:
    for _, here, shape, _ in TABLE:
        reasons = plan(here, shape, LIMITS).reasons
        assert set(reasons) == {field.name for field in dataclasses.fields(Plan)} - {"reasons"}
        assert all(reason.endswith(".") and len(reason) < 200 for reason in reasons.values())


def test_the_reasons_name_the_cause() -> None:
    assert plan(CONTAINER, SMOLLM2_135M, LIMITS).reasons["threads"] == (
        "1 of 64 physical cores can be used: the cgroup allows 1 CPUs."
    )
    assert "one stays free" in plan(LAPTOP, SMOLLM2_135M, LIMITS).reasons["threads"]
    assert "cannot use it" in plan(NO_CUDA_BUILD, SMOLLM2_135M, LIMITS).reasons["gpu_layers"]
    assert "Too little free memory on CUDA0" in plan(FULL_CARD, LLAMA_7B, LIMITS).reasons["gpu_layers"]
    assert "All 32 layers and the output fit" in plan(CUDA_24, LLAMA_7B, LIMITS).reasons["gpu_layers"]
    assert "17 of 33 fit on CUDA0" in plan(CUDA_4, LLAMA_7B, LIMITS).reasons["gpu_layers"]
    assert "8192 were wanted" in plan(PI_4_BUSY, LLAMA_1B, LIMITS).reasons["context_length"]
    assert "Memory is short" in plan(PI_4_BUSY, LLAMA_1B, LIMITS).reasons["kv_type"]


def test_a_full_card_beside_an_empty_one_is_explained() -> None:
    here = machine(free_gib=24, cards=(cuda(0.4, 24), cuda(23, 24, 1)))
    made = plan(here, LLAMA_7B, LIMITS)
    assert made.gpu_layers == 0
    assert "CUDA0 is nearly full" in made.reasons["gpu_layers"]
    assert "CUDA_VISIBLE_DEVICES" in made.reasons["gpu_layers"]


def test_an_integrated_gpu_is_used_only_without_a_discrete_one() -> None:
    inner = dataclasses.replace(cuda(8, 8), name="Vulkan0", backend="Vulkan", type="igpu")
    alone = plan(machine(free_gib=8, cards=(inner,)), LLAMA_1B, LIMITS)
    assert alone.gpu_layers == 17
    both = plan(machine(free_gib=8, cards=(inner, cuda(23, 24))), LLAMA_1B, LIMITS)
    assert "CUDA0" in both.reasons["gpu_layers"]
    assert "Vulkan0" not in both.reasons["gpu_layers"]


def test_a_single_sequence_gets_the_cells_of_one_context() -> None:
    made = plan(SERVER, LLAMA_1B, dataclasses.replace(LIMITS, max_sequences=1))
    assert (made.max_sequences, made.num_cells) == (1, 8192)


def test_a_limit_set_by_the_caller_moves_the_context() -> None:
    longer = dataclasses.replace(LIMITS, max_context=100_000)
    assert plan(SERVER, LLAMA_1B, longer).context_length == 100_000
    assert plan(SERVER, SMOLLM2_135M, longer).context_length == 8192
    assert plan(SERVER, LLAMA_1B, dataclasses.replace(LIMITS, max_context=100)).context_length == 100


def test_a_header_without_a_context_length_leaves_the_limit() -> None:
    assert plan(SERVER, dataclasses.replace(LLAMA_1B, context_length=0), LIMITS).context_length == 8192


def test_unequal_heads_forbid_flash_attention_and_q8_0() -> None:
    uneven = dataclasses.replace(LLAMA_1B, value_length=48)
    made = plan(SERVER, uneven, LIMITS)
    assert (made.flash_attention, made.kv_type) == (False, "f16")
    short = plan(PI_4_BUSY, uneven, LIMITS)
    assert (short.flash_attention, short.kv_type) == (False, "f16")
    assert short.context_length < 8192


def test_a_head_size_without_a_kernel_forbids_flash_attention_on_a_card_only() -> None:
    odd = dataclasses.replace(LLAMA_1B, key_length=48, value_length=48)
    assert not plan(CUDA_24, odd, LIMITS).flash_attention
    assert plan(SERVER, odd, LIMITS).flash_attention


@pytest.mark.parametrize(
    ("name", "value"), [("max_context", 0), ("max_context", -5), ("batch_size", 0), ("max_sequences", 257)]
)
def test_a_limit_that_nothing_can_keep_is_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(ConfigurationInvalid, match=f"{name} is {value}"):
        plan(SERVER, LLAMA_1B, dataclasses.replace(LIMITS, **{name: value}))


shapes = st.sampled_from([SMOLLM2_135M, GEMMA_270M, LLAMA_1B, LLAMA_7B])
limits = st.builds(
    EngineConfig,
    max_context=st.integers(1, 200_000),
    batch_size=st.integers(1, 2048),
    max_sequences=st.integers(1, 256),
)
memory = st.floats(0, 64)
cards = st.lists(st.floats(0, 80), max_size=3).map(lambda sizes: tuple(cuda(s, s + 1, i) for i, s in enumerate(sizes)))


def plan_or_none(here: Machine, shape: ModelShape, bounds: EngineConfig) -> Plan | None:
    try:
        return plan(here, shape, bounds)
    except ModelLoadFailed:
        return None


@given(shape=shapes, bounds=limits, free_gib=memory, cuda_cards=cards, cores=st.integers(1, 128))
def test_a_plan_never_exceeds_the_memory_nor_its_limits(
    shape: ModelShape, bounds: EngineConfig, free_gib: float, cuda_cards: tuple[object, ...], cores: int
) -> None:
    here = machine(cores, free_gib=free_gib, logical=2 * cores, cards=cuda_cards)  # type: ignore[arg-type] # of cuda()
    made = plan_or_none(here, shape, bounds)
    if made is None:
        return
    assert_within(made, here)
    assert 1 <= made.threads <= cores
    assert 1 <= made.context_length <= min(shape.context_length, bounds.max_context)
    assert made.num_cells % 256 == 0
    assert made.context_length <= made.num_cells < bounds.max_sequences * made.context_length + 256
    assert 1 <= made.ubatch_size <= made.batch_size <= bounds.batch_size
    assert 1 <= made.max_sequences <= bounds.max_sequences
    assert 0 <= made.gpu_layers <= (shape.block_count + 1 if cuda_cards else 0)


@given(shape=shapes, bounds=limits, free_gib=memory, more_gib=memory)
def test_more_memory_never_gives_a_shorter_context(
    shape: ModelShape, bounds: EngineConfig, free_gib: float, more_gib: float
) -> None:
    before = plan_or_none(machine(free_gib=free_gib), shape, bounds)
    after = plan_or_none(machine(free_gib=free_gib + more_gib), shape, bounds)
    if before is None:
        return
    assert after is not None
    assert after.context_length >= before.context_length
    assert after.num_cells >= before.num_cells
    assert (before.kv_type, after.kv_type) != ("f16", "q8_0")


@given(shape=shapes, free_gib=memory, card_gib=memory, more_gib=memory)
def test_a_larger_card_never_takes_fewer_layers(
    shape: ModelShape, free_gib: float, card_gib: float, more_gib: float
) -> None:
    before = plan_or_none(machine(free_gib=free_gib, cards=(cuda(card_gib, 80),)), shape, LIMITS)
    after = plan_or_none(machine(free_gib=free_gib, cards=(cuda(card_gib + more_gib, 80),)), shape, LIMITS)
    if before is None:
        return
    assert after is not None
    assert after.context_length >= before.context_length
    if after.context_length == before.context_length:
        assert after.gpu_layers >= before.gpu_layers


@pytest.mark.parametrize(
    ("here", "model", "expected"),
    [(CUDA_24, LLAMA_1B, "cuda"), (M2, LLAMA_1B, "metal"), (CUDA_24, None, "cpu"), (LAPTOP, LLAMA_1B, "cpu")],
)
def test_the_device_is_that_of_the_layers(
    here: Machine, model: ModelShape | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(here if model else LAPTOP, model or LLAMA_1B, LIMITS)
    monkeypatch.setattr(ggml, "read_devices", lambda: here.llama.devices)
    ggml.card_backend.cache_clear()
    try:
        assert device_of(planned) == expected
    finally:
        ggml.card_backend.cache_clear()
