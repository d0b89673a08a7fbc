"""What to use of a machine for a model: a pure function of both, which gives a reason for each choice.

What a model takes of the machine's memory is in `room.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runtime.config import EngineConfig
from runtime.errors import ConfigurationInvalid, ModelLoadFailed
from runtime.hardware.probe import Machine
from runtime.hardware.room import CELL_STEP, UBATCH_SIZES, KVType, Room, free_on, round_up, sized

if TYPE_CHECKING:
    from runtime.models.inspect import ModelShape

Provider = Literal["cpu", "cuda"]

MIN_CONTEXT = 512  # a chat template, a question and an answer
MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ
KV_SHARE = 0.25  # of the memory there is, the most that a KV cache of more than one context may take


@dataclass(frozen=True)
class Plan:
    """How a model is to be run here. `reasons` has one sentence for every other field.

    `provider` is what onnxruntime computes a graph with; None where llama.cpp runs the model.
    """

    threads: int
    threads_batch: int
    batch_size: int
    ubatch_size: int
    context_length: int
    num_cells: int
    max_sequences: int
    gpu_layers: int
    flash_attention: bool
    kv_type: KVType
    reasons: Mapping[str, str]
    estimated_bytes: int
    provider: Provider | None = None


def plan(machine: Machine, shape: ModelShape, limits: EngineConfig) -> Plan:
    """Decide how to run a model of this shape on this machine, within these limits.

    When memory is short, first the KV cache is kept as q8_0, then the context is shortened.

    Raises:
        ConfigurationInvalid: a limit that nothing can keep.
        ModelLoadFailed: the machine cannot hold the model with even 512 tokens.
    """
    check_limits(limits)
    wanted = min(shape.context_length or limits.max_context, limits.max_context)
    room = Room(machine, shape, limits)
    kv_type, context, layers = _choose_context(room, wanted)
    cells = _choose_cells(room, kv_type, context, layers)
    sequences = min(limits.max_sequences, max(1, cells // CELL_STEP))
    ubatch = next(
        (size for size in UBATCH_SIZES if size <= room.ubatch_size and room.fits(layers, kv_type, cells, size)),
        room.least_ubatch,
    )
    spare_core = machine.usable_cores >= 8
    threads = max(1, machine.usable_cores - spare_core)
    batch_size = min(limits.batch_size, cells)
    taken = room.demand(layers, kv_type, cells, ubatch)
    return Plan(
        threads=threads,
        threads_batch=threads,
        batch_size=batch_size,
        ubatch_size=min(ubatch, batch_size),
        context_length=context,
        num_cells=cells,
        max_sequences=sequences,
        gpu_layers=layers,
        flash_attention=room.flash_attention,
        kv_type=kv_type,
        estimated_bytes=taken.total,
        reasons={
            "threads": _explain_threads(machine, threads),
            "threads_batch": "The same as for decoding: a second thread on a core adds contention, not speed.",
            "batch_size": f"At most {limits.batch_size} tokens a step, so that answers wait little on a long prompt.",
            "ubatch_size": f"Its compute buffer, mostly logits, takes {sized(room.compute_bytes(ubatch, cells))}.",
            "context_length": _explain_context(shape, limits, context, wanted),
            "num_cells": f"{cells / context:.3g} x the context, shared by all sequences: "
            f"{sized(room.kv_bytes(kv_type, cells))} of KV cache.",
            "max_sequences": f"At most {limits.max_sequences}, each with {CELL_STEP} cells or more.",
            "gpu_layers": _explain_layers(machine, room, layers),
            "flash_attention": "Faster or equal, and it allows a q8_0 KV cache."
            if room.flash_attention
            else f"Heads of {shape.key_length} and {shape.value_length} have no kernel for it here.",
            "kv_type": "Exact enough to be the default, and it fits."
            if kv_type == "f16"
            else "Memory is short: q8_0 takes 53 % of f16's, at nearly the same quality.",
            "estimated_bytes": f"Weights {sized(shape.size_bytes)}, KV cache {sized(room.kv_bytes(kv_type, cells))}, "
            f"the rest for computing; {sized(room.memory)} of memory may be used.",
            "provider": "None: llama.cpp runs it.",
        },
    )


def check_limits(limits: EngineConfig) -> None:
    """Raise ConfigurationInvalid for a limit that nothing can keep."""
    bounds = {"max_context": 1 << 24, "batch_size": 1 << 16, "max_sequences": MAX_SEQUENCES}
    for name, most in bounds.items():
        value = getattr(limits, name)
        if not 1 <= value <= most:
            raise ConfigurationInvalid(f"{name} is {value}, but must be between 1 and {most}.")


def _choose_context(room: Room, wanted: int) -> tuple[KVType, int, int]:
    """KV type, context and layers on the cards: all layers on the cards first, then the whole context, then less."""
    placed = {kv_type: room.most_layers(kv_type, wanted) for kv_type in room.kv_types}
    for kv_type, layers in placed.items():
        if room.cards and layers == room.all_layers:
            return kv_type, wanted, layers
    for kv_type, layers in placed.items():
        if layers is not None:
            return kv_type, wanted, layers
    kv_type = room.kv_types[-1]
    low, high = min(MIN_CONTEXT, wanted), wanted
    best = room.most_layers(kv_type, low)
    if best is None:
        raise _does_not_fit(room, kv_type, low)
    while high - low > CELL_STEP:
        middle = round_up((low + high) // 2)
        layers = room.most_layers(kv_type, middle)
        low, high, best = (middle, high, layers) if layers is not None else (low, middle, best)
    return kv_type, low, best


def _choose_cells(room: Room, kv_type: KVType, context: int, layers: int) -> int:
    """One context's cells, and up to another's where f16 fits and the KV cache keeps to its share of memory."""
    least, most = round_up(context), round_up(context * min(2, room.limits.max_sequences))
    if kv_type != "f16":
        return least
    pool = sum(room.card_memory) if layers and layers == room.all_layers else room.memory
    while most > least:
        middle = round_up((least + most + 1) // 2)
        is_small = room.kv_bytes(kv_type, middle) <= pool * KV_SHARE
        if is_small and room.fits(layers, kv_type, middle, room.least_ubatch):
            least = middle
        else:
            most = middle - CELL_STEP
    return least


def _does_not_fit(room: Room, kv_type: KVType, context: int) -> ModelLoadFailed:
    demands = [
        room.demand(layers, kv_type, round_up(context), room.least_ubatch) for layers in range(room.all_layers + 1)
    ]
    needed = min(demand.memory for demand in demands if room.has_cards_for(demand))
    return ModelLoadFailed(
        f"The model needs {needed} bytes ({sized(needed)}) of memory with a context of {context} tokens, "
        f"but {room.memory} bytes ({sized(room.memory)}) can be used.",
        remedy="Choose a smaller model or one quantized further, or free some memory.",
    )


def _explain_threads(machine: Machine, threads: int) -> str:
    cores = f"{machine.usable_cores} of {machine.physical_cores} physical cores can be used"
    if machine.cpu_quota is not None and machine.usable_cores < machine.physical_cores:
        return f"{cores}: the cgroup allows {machine.cpu_quota:g} CPUs."
    spare = "; one stays free for the rest of the machine" if threads < machine.usable_cores else ""
    return f"{cores}{spare}."


def _explain_context(shape: ModelShape, limits: EngineConfig, context: int, wanted: int) -> str:
    if context < wanted:
        return f"Memory allows no more; {wanted} were wanted."
    if wanted == shape.context_length:
        return f"The model was trained with {shape.context_length}."
    return (
        f"The limit is {limits.max_context}; the model was trained with {shape.context_length or 'an unknown length'}."
    )


def _explain_layers(machine: Machine, room: Room, layers: int) -> str:
    if not room.cards:
        if machine.nvidia_cards:
            return "The machine has an NVIDIA card, but this llama.cpp build cannot use it."
        return "This llama.cpp build sees no GPU."
    names = free_on(room.cards)
    if layers == room.all_layers:
        return f"All {room.shape.block_count} layers and the output fit on {names}."
    if full := room.full_cards():
        hint = "llama.cpp divides layers over all cards; hide a full one with CUDA_VISIBLE_DEVICES"
        return f"{layers} of {room.all_layers} fit, as {full[0].name} is nearly full: {hint}."
    if layers == 0:
        return f"Too little free memory on {names}: the processor computes."
    return f"{layers} of {room.all_layers} fit on {names}; the processor computes the rest."
