"""What to use of a machine for a folder of ONNX graphs.

The graphs themselves are not read for it. How many heads a model has is not known either; all of these families have
heads of 64 or thereabouts, and that decides on nothing but an estimate of memory.
"""

from __future__ import annotations

from runtime.config import EngineConfig
from runtime.errors import ModelLoadFailed
from runtime.hardware.plan import Plan, Provider, check_limits
from runtime.hardware.probe import Machine
from runtime.hardware.room import sized
from runtime.models.onnx_folder import OnnxFolder
from runtime.models.onnx_settings import Settings

MAX_SEQUENCES = 64
MIN_CONTEXT = 128
_CONTEXT_STEP = 64
_HEAD_SIZE = 64
# Of the scores of a layer's attention there are so many copies at a time: masked, normalised, and those before.
_ATTENTION_COPIES = 3
_FLOAT = 4
_CUDA = "CUDAExecutionProvider"


def plan_onnx(machine: Machine, folder: OnnxFolder, limits: EngineConfig) -> Plan:
    """Decide how to run these graphs on this machine, whose onnxruntime has been read, within these limits.

    Raises:
        ConfigurationInvalid: a limit that nothing can keep.
        ModelLoadFailed: the machine cannot hold the model with even 128 tokens.
    """
    check_limits(limits)
    settings = folder.settings
    wanted = min(settings.max_length or limits.max_context, limits.max_context)
    provider, why_provider = _choose_provider(machine, folder.file_size + _step_bytes(settings, wanted))
    free = machine.nvidia_cards[0].memory_free if provider == "cuda" else machine.memory_available
    room = _usable(free) - folder.file_size
    least = min(MIN_CONTEXT, wanted)
    context = wanted
    while context > least and _step_bytes(settings, context) > room:
        context = max(least, context - _CONTEXT_STEP)
    if _step_bytes(settings, context) > room:
        raise ModelLoadFailed(
            f"{folder.path} takes {sized(folder.file_size)} and {sized(_step_bytes(settings, context))} to compute "
            f"{context} tokens; {sized(free)} are free.",
            remedy="Free memory, or choose a smaller model.",
        )
    batch = min(limits.batch_size, max(context, room // max(1, _step_bytes(settings, 1))))
    threads = max(1, machine.usable_cores - (machine.usable_cores >= 8))
    longest = "The model sets this limit." if context == settings.max_length else "The limit."
    taken = folder.file_size + max(_step_bytes(settings, context), batch * _step_bytes(settings, 1))
    return Plan(
        threads=threads,
        threads_batch=threads,
        batch_size=batch,
        ubatch_size=batch,
        context_length=context,
        num_cells=context,
        max_sequences=min(MAX_SEQUENCES, batch),
        gpu_layers=0,
        flash_attention=False,
        kv_type="f32",
        estimated_bytes=taken,
        provider=provider,
        reasons={
            "threads": f"One for each of {machine.usable_cores} cores that can be used"
            + (", but one." if threads < machine.usable_cores else "."),
            "threads_batch": "The same.",
            "batch_size": f"At most {limits.batch_size} tokens a step, but for one longer text.",
            "ubatch_size": "All tokens of a step are computed together.",
            "context_length": longest if context == wanted else f"Memory allows no more; {wanted} were wanted.",
            "num_cells": "As many as the context.",
            "max_sequences": f"At most {MAX_SEQUENCES} texts a step.",
            "gpu_layers": "A graph is computed on one device as a whole: see provider.",
            "flash_attention": "The graphs compute attention in plain steps.",
            "kv_type": "What the graphs take.",
            "estimated_bytes": f"Weights {sized(folder.file_size)}, the rest for computing the longest text.",
            "provider": why_provider,
        },
    )


def _choose_provider(machine: Machine, needed: int) -> tuple[Provider, str]:
    """A card where onnxruntime can use the first one and it has room for the longest text, and why."""
    build = machine.onnxruntime
    has_cuda = build is not None and _CUDA in build.providers
    if has_cuda and machine.nvidia_cards:
        card = machine.nvidia_cards[0]
        if needed > _usable(card.memory_free):
            return "cpu", f"{card.name} has {sized(card.memory_free)} free, too little for {sized(needed)}."
        return "cuda", f"onnxruntime has CUDA, and {card.name} is here."
    if machine.nvidia_cards:
        return "cpu", "This onnxruntime has no CUDA; onnxruntime-gpu in its place would use the card."
    return "cpu", "onnxruntime has CUDA, but no card is here." if has_cuda else "This onnxruntime has no CUDA."


def _usable(free: int) -> int:
    """What may be taken of so many bytes: a tenth stays free."""
    return free - free // 10


def _step_bytes(settings: Settings, tokens: int) -> int:
    """Bytes for one text of so many tokens: activations, attention, what comes out, and what is kept of each token."""
    sizes = settings.sizes
    heads = max(1, sizes.width // _HEAD_SIZE)
    outputs = sizes.vocabulary if settings.task in {"fill-mask", "generate", "translate", "text2text"} else sizes.width
    cache = 2 * sizes.layers * sizes.heads * sizes.head_size
    return _FLOAT * tokens * (16 * sizes.width + outputs + cache + _ATTENTION_COPIES * heads * tokens)
