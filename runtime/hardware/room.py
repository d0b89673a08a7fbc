"""The memory of a machine, and what a model of one shape takes of it.

The sizes follow llama.cpp: a unified KV cache, layers given to cards from the last one backwards and divided in
proportion to free memory (`load_tensors` in llama-model.cpp), and a compute buffer whose largest part is the logits of
one micro-batch. Against llama.cpp's own report for two models the compute estimate is 14 to 44 MiB over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runtime.config import EngineConfig
from runtime.hardware.ggml import GgmlDevice
from runtime.hardware.probe import Machine

if TYPE_CHECKING:
    from runtime.models.inspect import ModelShape

KVType = Literal["f32", "f16", "q8_0"]

CELL_STEP = 256  # llama.cpp rounds n_ctx up to this
UBATCH_SIZES = (512, 256, 128, 64)
MIN_GPU_SHARE = 0.25  # fewer layers on a card than this gain less than the copies between cost
_MIB = 1024 * 1024
_KV_BYTES: dict[KVType, float] = {"f32": 4, "f16": 2, "q8_0": 34 / 32}  # a block of 32 int8 has an f16 scale
# Head sizes that the flash attention kernels of CUDA, Metal and Vulkan have in common.
_CARD_HEAD_SIZES = frozenset({64, 80, 96, 112, 128, 256})


@dataclass(frozen=True)
class Demand:
    """Bytes wanted of the machine's memory and of each card's."""

    memory: int
    cards: tuple[int, ...]
    total: int


class Room:
    """The memory of a machine, and what a model of one shape takes of it."""

    def __init__(self, machine: Machine, shape: ModelShape, limits: EngineConfig) -> None:
        self.shape = shape
        self.limits = limits
        self.cards = usable_cards(machine.llama.devices)
        self.all_layers = shape.block_count + 1 if self.cards else 0
        # Some stays free: for this process, the page cache and the others on the machine.
        self.memory = max(0, machine.memory_available - max(128 * _MIB, machine.memory_available // 10))
        self.card_memory = tuple(map(usable_bytes, self.cards))
        self.ubatch_size = min(UBATCH_SIZES[0], limits.batch_size)
        self.least_ubatch = min(UBATCH_SIZES[-1], limits.batch_size)
        same = shape.key_length == shape.value_length
        self.flash_attention = same and (not self.cards or shape.key_length in _CARD_HEAD_SIZES)
        can_quantize = self.flash_attention and shape.key_length % 32 == 0
        self.kv_types: tuple[KVType, ...] = ("f16", "q8_0") if can_quantize else ("f16",)
        self.layers = layer_bytes(shape)
        self.largest_layer = max(self.layers[:-1], default=0)

    def kv_bytes(self, kv_type: KVType, cells: int) -> int:
        """Bytes of the KV cache of all layers."""
        return kv_bytes(self.shape, sum(self.shape.head_counts_kv), kv_type, cells)

    def compute_bytes(self, ubatch: int, cells: int) -> int:
        """Bytes of llama.cpp's compute buffer: f32 logits of a micro-batch, or activations, whichever is more."""
        width, heads = self.shape.embedding_length, 2 if self.flash_attention else self.shape.head_count + 2
        columns = max(self.shape.vocabulary_size + 4 * width, 16 * width + heads * cells)
        return 4 * ubatch * columns + self._output_bytes()

    def demand(self, layers: int, kv_type: KVType, cells: int, ubatch: int) -> Demand:
        """What the model takes with `layers` on the cards; a card's compute buffer is counted at full micro-batch."""
        first = len(self.layers) - layers
        cards = kept_on_cards(self.shape, self.cards, layers, kv_type, cells)
        # Of a head that is the embedding the machine keeps a copy, for the input.
        kept = self.shape.size_bytes - sum(self.layers[first:-1])
        memory = max(0, kept) + kv_bytes(self.shape, sum(self.shape.head_counts_kv[:first]), kv_type, cells)
        only_input = layers and layers == self.all_layers
        # llama.cpp copies a layer that stayed behind to a card for a long prompt.
        reserve = self.compute_bytes(self.ubatch_size, cells) + (0 if only_input else self.largest_layer)
        cards = [taken + reserve if taken else 0 for taken in cards]
        memory += self._output_bytes() if only_input else self.compute_bytes(ubatch, cells)
        total = memory + sum(cards)
        # A card without memory of its own takes the machine's.
        memory += sum(taken for card, taken in zip(self.cards, cards, strict=True) if _is_shared(card))
        return Demand(memory, tuple(cards), total)

    def fits(self, layers: int, kv_type: KVType, cells: int, ubatch: int) -> bool:
        """Whether there is room for it."""
        wanted = self.demand(layers, kv_type, cells, ubatch)
        return wanted.memory <= self.memory and self.has_cards_for(wanted)

    def has_cards_for(self, wanted: Demand) -> bool:
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
        least = self.compute_bytes(self.ubatch_size, CELL_STEP) + self.largest_layer
        full = [card for card, free in zip(self.cards, self.card_memory, strict=True) if free < least]
        return full if len(full) < len(self.cards) else []

    def _output_bytes(self) -> int:
        return 4 * self.limits.max_sequences * self.shape.vocabulary_size + 16 * _MIB


def kept_on_cards(
    shape: ModelShape, cards: Sequence[GgmlDevice], layers: int, kv_type: KVType, cells: int
) -> list[int]:
    """Bytes of weights and KV cache that each card gets with so many layers on all of them."""
    taken = [0] * len(cards)
    weights = layer_bytes(shape)
    first = len(weights) - layers
    for card, position in _divide(layers, [card.memory_free for card in cards]):
        layer = first + position
        heads = shape.head_counts_kv[layer] if layer < shape.block_count else 0
        taken[card] += weights[layer] + kv_bytes(shape, heads, kv_type, cells)
    return taken


def kv_bytes(shape: ModelShape, heads: int, kv_type: KVType, cells: int) -> int:
    """Bytes of the keys and values of so many heads."""
    return int(heads * (shape.key_length + shape.value_length) * _KV_BYTES[kv_type] * cells)


def layer_bytes(shape: ModelShape) -> tuple[int, ...]:
    """Bytes of the weights of each layer, and last of the head.

    Where the file's table of tensors is not known, the head is taken at the file's mean bytes per weight.
    """
    if shape.block_bytes:
        return (*shape.block_bytes, shape.output_bytes)
    mean = shape.size_bytes / max(1, shape.parameter_count)
    head = min(int(shape.vocabulary_size * shape.embedding_length * mean), shape.size_bytes * 9 // 10)
    return (*(-(-(shape.size_bytes - head) // max(1, shape.block_count)),) * shape.block_count, head)


def usable_cards(devices: Sequence[GgmlDevice]) -> tuple[GgmlDevice, ...]:
    """Those of llama.cpp's devices that it gives layers to: the discrete ones, else those within the processor."""
    for kind in ("gpu", "igpu"):
        if found := tuple(device for device in devices if device.type == kind and device.memory_free > 0):
            return found
    return ()


def usable_bytes(card: GgmlDevice) -> int:
    """Bytes of a card that a model may take: some stay free, for its driver and for whatever else uses it."""
    return max(0, card.memory_free - max(256 * _MIB, card.memory_free // 20))


def _is_shared(card: GgmlDevice) -> bool:
    return card.type == "igpu" or card.backend == "Metal"


def _divide(layers: int, free: list[int]) -> list[tuple[int, int]]:
    """(card, position) of each of the layers that the cards get, as llama.cpp divides them."""
    shares = [sum(free[: card + 1]) / sum(free) for card in range(len(free))]
    return [
        (next((card for card, share in enumerate(shares) if share > position / layers), len(free) - 1), position)
        for position in range(layers)
    ]


def round_up(context: int) -> int:
    """The next number of cells that llama.cpp makes."""
    return -(-context // CELL_STEP) * CELL_STEP


def free_on(cards: Sequence[GgmlDevice]) -> str:
    """Such as CUDA0 (7.50 GiB free), CUDA1 (300 MiB free)."""
    return ", ".join(f"{card.name} ({sized(card.memory_free)} free)" for card in cards)


def sized(num_bytes: int) -> str:
    """Such as 1.50 GiB or 300 MiB."""
    return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"
