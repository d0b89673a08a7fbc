"""How many layers the cards really have room for, by what llama.cpp says that it will take.

A plan is made without llama.cpp, and so by an estimate of its compute buffers. Here they are measured before anything
is loaded: a model without weights is opened, and a context of it reserves its buffers on paper. That takes as long as
the header is to read, and is done only where there are cards.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runtime.backends.llama import library
from runtime.backends.llama.model import LlamaModel
from runtime.hardware.ggml import GgmlDevice, read_build
from runtime.hardware.plan import Plan
from runtime.hardware.room import MIN_GPU_SHARE, free_on, kept_on_cards, usable_bytes, usable_cards
from runtime.models.header import ModelShape
from runtime.models.inspect import read_header

# sched_reserve in llama-context.cpp, and the constructor beside it.
_BUFFER = re.compile(r"(\S+)\s+(?:compute|output) buffer size\s*=\s*([\d.]+) MiB")
_MIB = 1024 * 1024

Use = Callable[[LlamaModel, Plan], Callable[[], None]]
"""Makes a context of a model as a plan says, and returns what closes it."""
Measure = Callable[[int], Mapping[str, float]]
"""Bytes of the buffers for computing, by device, with so many layers on the cards."""


def fit_layers(path: Path, plan: Plan, use: Use) -> Plan:
    """The plan with as many of its layers on the cards as these have room for; as it is where none are to be there.

    Raises:
        ModelLoadFailed: llama.cpp refused the file or the plan.
    """
    cards = usable_cards(read_build().devices) if plan.gpu_layers else ()
    if not cards:
        return plan
    return fitted(plan, read_header(path).shape(), cards, lambda layers: measure(path, plan, layers, use))


def fitted(plan: Plan, shape: ModelShape, cards: Sequence[GgmlDevice], measured: Measure) -> Plan:
    """As `fit_layers`, on these cards."""

    def fits(layers: int) -> bool:
        kept = kept_on_cards(shape, cards, layers, plan.kv_type, plan.num_cells)
        buffers = measured(layers)
        return all(
            taken + buffers.get(card.name, 0) <= usable_bytes(card) for card, taken in zip(cards, kept, strict=True)
        )

    if fits(plan.gpu_layers):
        return plan
    low, high = 0, plan.gpu_layers  # the first is none at all, which always fits; the second does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    layers = low if low >= (shape.block_count + 1) * MIN_GPU_SHARE else 0
    why = f"{layers} of {shape.block_count + 1} fit on {free_on(cards)} beside the buffers that llama.cpp asks for."
    return dataclasses.replace(plan, gpu_layers=layers, reasons={**plan.reasons, "gpu_layers": why})


def measure(path: Path, plan: Plan, layers: int, use: Use) -> dict[str, float]:
    """Bytes of the buffers for computing that a context would take, by device; nothing is loaded for it.

    Raises:
        ModelLoadFailed: llama.cpp refused the file or the plan.
    """
    model = LlamaModel(path, gpu_layers=layers, is_dry=True)
    try:
        with library.listening() as lines:
            use(model, plan)()
    finally:
        model.close()
    found: dict[str, float] = {}
    for line in lines:
        if match := _BUFFER.search(line):
            found[match[1]] = found.get(match[1], 0) + float(match[2]) * _MIB
    return found
