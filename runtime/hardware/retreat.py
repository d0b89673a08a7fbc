"""What to do when a card runs out of memory, or does not start: run more of the model on the processor.

A plan is made from what is free and what the model takes. Another program may take that memory first, and a driver
takes some for itself, so a plan for a card can fail where one for the processor would not.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from runtime.errors import CardFailed
from runtime.hardware.plan import Plan

# As we say it, llama.cpp's backends for CUDA, Vulkan and Metal, and onnxruntime's for CUDA.
_RAN_OUT = re.compile(
    r"too little free memory|out ?of ?(?:device ?)?memory|(?:failed|unable) to allocate|memory allocation .*failed"
    r"|ALLOC_FAILED|smaller than requested bytes",
    re.IGNORECASE,
)
_OF_THE_MACHINE = re.compile(r"\bCPU\b")
_log = logging.getLogger("demotic.engine")
_Loaded = TypeVar("_Loaded")


def tells_of(lines: Iterable[str]) -> bool:
    """Whether one of these lines of a backend says that a card, and not the machine, had too little memory."""
    return any(_RAN_OUT.search(line) and not _OF_THE_MACHINE.search(line) for line in lines)


def no_room(model: str, reason: str) -> CardFailed:
    """The error for what a backend says so."""
    return CardFailed(
        f"A card has too little free memory for {model}: {reason}.",
        remedy="End other programs that use the card, or ask for a shorter context.",
    )


def uses_card(plan: Plan) -> bool:
    """Whether a card computes a part of the model."""
    return plan.gpu_layers > 0 or plan.provider == "cuda"


def retreat(plan: Plan) -> Plan:
    """The plan with half of its layers on the cards; graphs, which are computed on one device, on the processor."""
    if plan.provider == "cuda":
        why = "The card could not take the graphs: the processor computes."
        return dataclasses.replace(plan, provider="cpu", reasons={**plan.reasons, "provider": why})
    layers = plan.gpu_layers // 2
    why = f"The cards ran out of memory with {plan.gpu_layers} layers: {layers} are left on them."
    return dataclasses.replace(plan, gpu_layers=layers, reasons={**plan.reasons, "gpu_layers": why})


def load_or_retreat(plan: Plan, load: Callable[[Plan], _Loaded]) -> _Loaded:
    """What `load` makes of a plan or, where a card has no room for that, of the plan with less on the cards.

    Raises:
        CardFailed: there was no room for that either.
    """
    try:
        return load(plan)
    except CardFailed as fault:
        if not uses_card(plan):
            raise
        fewer = retreat(plan)
        _log.warning("%s %s", fault.message, fewer.reasons["provider" if plan.provider else "gpu_layers"])
    return load(fewer)
