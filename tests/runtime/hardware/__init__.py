"""Tests of runtime/hardware: made-up machines and models, used by the tests of the plan and of the doctor."""

from __future__ import annotations

from runtime.hardware.ggml import GgmlDevice, LlamaBuild
from runtime.hardware.probe import Machine, NvidiaCard
from runtime.models.inspect import ModelShape

MIB = 2**20
GIB = 2**30


def machine(
    cores: int = 8,
    *,
    free_gib: float = 8.0,
    logical: int | None = None,
    usable_cpus: int | None = None,
    usable_cores: int | None = None,
    quota: float | None = None,
    cards: tuple[GgmlDevice, ...] = (),
    nvidia_cards: tuple[NvidiaCard, ...] = (),
    architecture: str = "x86_64",
    flags: tuple[str, ...] = (),
    features: tuple[str, ...] = (),
) -> Machine:
    """A machine of so many physical cores and so much free memory; half as much again is installed."""
    free = int(free_gib * GIB)
    return Machine(
        system="Linux",
        architecture=architecture,
        cpu_name="Made-up CPU",
        physical_cores=cores,
        logical_cores=logical or cores,
        usable_cpus=usable_cpus or logical or cores,
        usable_cores=usable_cores or cores,
        memory_installed=free * 3 // 2,
        memory_total=free * 3 // 2,
        memory_available=free,
        cpu_flags=flags,
        cpu_quota=quota,
        llama=LlamaBuild("0.3.36", features, (cpu_device(free), *cards)),
        nvidia_cards=nvidia_cards,
    )


def cpu_device(total: int) -> GgmlDevice:
    """The device that every build has."""
    return GgmlDevice("CPU", "Made-up CPU", "CPU", "cpu", total, total)


def cuda(free_gib: float, total_gib: float, index: int = 0) -> GgmlDevice:
    """A card that the build can use."""
    return GgmlDevice(f"CUDA{index}", "Made-up card", "CUDA", "gpu", int(free_gib * GIB), int(total_gib * GIB))


def metal(free_gib: float) -> GgmlDevice:
    """An Apple GPU, which has the machine's memory."""
    return GgmlDevice("MTL0", "Apple M2", "Metal", "gpu", int(free_gib * GIB), int(free_gib * GIB))


SMOLLM2_135M = ModelShape(  # Q4_1
    architecture="llama",
    size_bytes=96_576_768,
    parameter_count=134_515_008,
    context_length=8192,
    embedding_length=576,
    block_count=30,
    head_count=9,
    head_counts_kv=(3,) * 30,
    key_length=64,
    value_length=64,
    vocabulary_size=49_152,
    sliding_window=0,
)
GEMMA_270M = ModelShape(  # Q4_K_M
    architecture="gemma3",
    size_bytes=246_587_904,
    parameter_count=268_098_176,
    context_length=32_768,
    embedding_length=640,
    block_count=18,
    head_count=4,
    head_counts_kv=(1,) * 18,
    key_length=256,
    value_length=256,
    vocabulary_size=262_144,
    sliding_window=512,
)
LLAMA_1B = ModelShape(  # Llama 3.2 1B, Q4_K_M
    architecture="llama",
    size_bytes=799_862_912,
    parameter_count=1_235_814_432,
    context_length=131_072,
    embedding_length=2048,
    block_count=16,
    head_count=32,
    head_counts_kv=(8,) * 16,
    key_length=64,
    value_length=64,
    vocabulary_size=128_256,
    sliding_window=0,
)
LLAMA_7B = ModelShape(  # Llama 2 7B, Q4_K_M: every head has its own keys and values
    architecture="llama",
    size_bytes=4_080_263_168,
    parameter_count=6_738_415_616,
    context_length=4096,
    embedding_length=4096,
    block_count=32,
    head_count=32,
    head_counts_kv=(32,) * 32,
    key_length=128,
    value_length=128,
    vocabulary_size=32_000,
    sliding_window=0,
)
