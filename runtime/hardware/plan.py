"""What to use of a machine for a model: a pure function of both, which gives a reason for each choice.

The sizes follow llama.cpp: a unified KV cache of `num_cells`, layers given to cards from the last one backwards and
divided in proportion to free memory (`load_tensors` in llama-model.cpp), and a compute buffer whose largest part is
the logits of one micro-batch. Against llama.cpp's own report for two models the compute estimate is 14 to 44 MiB over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runtime.config import EngineConfig
from runtime.errors import ConfigurationInvalid, ModelLoadFailed
from runtime.hardware.ggml import GgmlDevice
from runtime.hardware.probe import Machine

if TYPE_CHECKING:
    from runtime.models.inspect import ModelShape

KVType = Literal["f32", "f16", "q8_0"]
Provider = Literal["cpu", "cuda"]

MIN_CONTEXT = 512  # a chat template, a question and an answer
CELL_STEP = 256  # llama.cpp rounds n_ctx up to this
MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ
UBATCH_SIZES = (512, 256, 128, 64)
KV_SHARE = 0.25  # of the memory there is, the most that a KV cache of more than one context may take
MIN_GPU_SHARE = 0.25  # fewer layers on a card than this gain less than the copies between cost
_MIB = 1024 * 1024
_KV_BYTES: dict[KVType, float] = {"f32": 4, "f16": 2, "q8_0": 34 / 32}  # a block of 32 int8 has an f16 scale
# Head sizes that the flash attention kernels of CUDA, Metal and Vulkan have in common.
_CARD_HEAD_SIZES = frozenset({64, 80, 96, 112, 128, 256})


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
    room = _Room(machine, shape, limits)
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


@dataclass(frozen=True)
class _Demand:
    """Bytes wanted of the machine's memory and of each card's."""

    memory: int
    cards: tuple[int, ...]
    total: int


class _Room:
    """The memory of a machine, and what a model of one shape takes of it."""

    def __init__(self, machine: Machine, shape: ModelShape, limits: EngineConfig) -> None:
        self.shape = shape
        self.limits = limits
        self.cards = usable_cards(machine)
        self.all_layers = shape.block_count + 1 if self.cards else 0
        # Some stays free: for this process, the page cache and the others on the machine.
        self.memory = max(0, machine.memory_available - max(128 * _MIB, machine.memory_available // 10))
        self.card_memory = tuple(max(0, c.memory_free - max(256 * _MIB, c.memory_free // 20)) for c in self.cards)
        self.ubatch_size = min(UBATCH_SIZES[0], limits.batch_size)
        self.least_ubatch = min(UBATCH_SIZES[-1], limits.batch_size)
        same = shape.key_length == shape.value_length
        self.flash_attention = same and (not self.cards or shape.key_length in _CARD_HEAD_SIZES)
        can_quantize = self.flash_attention and shape.key_length % 32 == 0
        self.kv_types: tuple[KVType, ...] = ("f16", "q8_0") if can_quantize else ("f16",)
        # The header does not divide the bytes of the file: take the embedding at the file's mean bytes per weight.
        mean = shape.size_bytes / max(1, shape.parameter_count)
        embedding = int(shape.vocabulary_size * shape.embedding_length * mean)
        self.embedding_bytes = min(embedding, shape.size_bytes * 9 // 10)
        self.layer_bytes = -(-(shape.size_bytes - self.embedding_bytes) // max(1, shape.block_count))

    def kv_bytes(self, kv_type: KVType, cells: int, *, layer: int | None = None) -> int:
        """Bytes of the KV cache, of all layers or of one."""
        heads = sum(self.shape.head_counts_kv) if layer is None else self.shape.head_counts_kv[layer]
        return int(heads * (self.shape.key_length + self.shape.value_length) * _KV_BYTES[kv_type] * cells)

    def compute_bytes(self, ubatch: int, cells: int) -> int:
        """Bytes of llama.cpp's compute buffer: f32 logits of a micro-batch, or activations, whichever is more."""
        width, heads = self.shape.embedding_length, 2 if self.flash_attention else self.shape.head_count + 2
        columns = max(self.shape.vocabulary_size + 4 * width, 16 * width + heads * cells)
        return 4 * ubatch * columns + self._output_bytes()

    def demand(self, layers: int, kv_type: KVType, cells: int, ubatch: int) -> _Demand:
        """What the model takes with `layers` on the cards; a card's compute buffer is counted at full micro-batch."""
        cards = [0] * len(self.cards)
        first = self.all_layers - layers
        for card, position in _divide(layers, [card.memory_free for card in self.cards]):
            layer = first + position
            is_output = layer == self.shape.block_count
            weights = self.embedding_bytes if is_output else self.layer_bytes
            cards[card] += weights + (0 if is_output else self.kv_bytes(kv_type, cells, layer=layer))
        kept = self.shape.size_bytes - self.layer_bytes * max(0, layers - 1)
        kv_kept = sum(self.kv_bytes(kv_type, cells, layer=layer) for layer in range(first)) if layers else 0
        memory = max(0, kept) + (kv_kept if layers else self.kv_bytes(kv_type, cells))
        only_input = layers and layers == self.all_layers
        # llama.cpp copies a layer that stayed behind to a card for a long prompt.
        reserve = self.compute_bytes(self.ubatch_size, cells) + (0 if only_input else self.layer_bytes)
        cards = [taken + reserve if taken else 0 for taken in cards]
        memory += self._output_bytes() if only_input else self.compute_bytes(ubatch, cells)
        total = memory + sum(cards)
        # A card without memory of its own takes the machine's.
        memory += sum(taken for card, taken in zip(self.cards, cards, strict=True) if _is_shared(card))
        return _Demand(memory, tuple(cards), total)

    def fits(self, layers: int, kv_type: KVType, cells: int, ubatch: int) -> bool:
        """Whether there is room for it."""
        wanted = self.demand(layers, kv_type, cells, ubatch)
        return wanted.memory <= self.memory and self.has_cards_for(wanted)

    def has_cards_for(self, wanted: _Demand) -> bool:
        """Whether the cards have room for their part of it."""
        return all(taken <= free for taken, free in zip(wanted.cards, self.card_memory, strict=True))

    def most_layers(self, kv_type: KVType, context: int) -> int | None:
        """The most layers on the cards with which the model fits; None when it does not at all."""
        cells = round_up(context)
        counts = range(self.all_layers, -1, -1)
        most = next((n for n in counts if self.fits(n, kv_type, cells, self.least_ubatch)), None)
        if most and most < self.all_layers * MIN_GPU_SHARE and self.fits(0, kv_type, cells, self.least_ubatch):
            return 0
        return most

    def full_cards(self) -> list[GgmlDevice]:
        """The cards that have no room for even one layer and its compute buffer, where others have."""
        least = self.compute_bytes(self.ubatch_size, CELL_STEP) + self.layer_bytes
        full = [card for card, free in zip(self.cards, self.card_memory, strict=True) if free < least]
        return full if len(full) < len(self.cards) else []

    def _output_bytes(self) -> int:
        return 4 * self.limits.max_sequences * self.shape.vocabulary_size + 16 * _MIB


def check_limits(limits: EngineConfig) -> None:
    """Raise ConfigurationInvalid for a limit that nothing can keep."""
    bounds = {"max_context": 1 << 24, "batch_size": 1 << 16, "max_sequences": MAX_SEQUENCES}
    for name, most in bounds.items():
        value = getattr(limits, name)
        if not 1 <= value <= most:
            raise ConfigurationInvalid(f"{name} is {value}, but must be between 1 and {most}.")


def usable_cards(machine: Machine) -> tuple[GgmlDevice, ...]:
    """The devices that llama.cpp gives layers to: the discrete ones, else those within the processor."""
    for kind in ("gpu", "igpu"):
        if found := tuple(d for d in machine.llama.devices if d.type == kind and d.memory_free > 0):
            return found
    return ()


def _is_shared(card: GgmlDevice) -> bool:
    return card.type == "igpu" or card.backend == "Metal"


def _divide(layers: int, free: list[int]) -> list[tuple[int, int]]:
    """(card, position) of each of the layers that the cards get, as llama.cpp divides them."""
    shares = [sum(free[: card + 1]) / sum(free) for card in range(len(free))]
    return [
        (next((card for card, share in enumerate(shares) if share > position / layers), len(free) - 1), position)
        for position in range(layers)
    ]


def _choose_context(room: _Room, wanted: int) -> tuple[KVType, int, int]:
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


def _choose_cells(room: _Room, kv_type: KVType, context: int, layers: int) -> int:
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


def _does_not_fit(room: _Room, kv_type: KVType, context: int) -> ModelLoadFailed:
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


def _explain_layers(machine: Machine, room: _Room, layers: int) -> str:
    if not room.cards:
        if machine.nvidia_cards:
            return "The machine has an NVIDIA card, but this llama.cpp build cannot use it."
        return "This llama.cpp build sees no GPU."
    names = ", ".join(f"{card.name} ({sized(card.memory_free)} free)" for card in room.cards)
    if layers == room.all_layers:
        return f"All {room.shape.block_count} layers and the output fit on {names}."
    if full := room.full_cards():
        hint = "llama.cpp divides layers over all cards; hide a full one with CUDA_VISIBLE_DEVICES"
        return f"{layers} of {room.all_layers} fit, as {full[0].name} is nearly full: {hint}."
    if layers == 0:
        return f"Too little free memory on {names}: the processor computes."
    return f"{layers} of {room.all_layers} fit on {names}; the processor computes the rest."


def round_up(context: int) -> int:
    """The next number of cells that llama.cpp makes."""
    return -(-context // CELL_STEP) * CELL_STEP


def sized(num_bytes: int) -> str:
    """Such as 1.50 GiB or 300 MiB."""
    return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"
