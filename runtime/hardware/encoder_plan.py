"""What to use of a machine for a model that gives vectors or scores.

What it takes is what a decoder takes, and besides: llama.cpp keeps room for the logits of every token of a step, though
nobody reads them (`output_reserve` in llama-context.cpp), and a model that sees the whole text at once needs the
buffers of the longest text in one step.
"""

from __future__ import annotations

import dataclasses

from runtime.config import EngineConfig
from runtime.hardware.plan import MIN_CONTEXT, Plan, plan
from runtime.hardware.probe import Machine
from runtime.hardware.room import CELL_STEP
from runtime.models.encoding import Encoding
from runtime.models.header import ModelShape

# Sequences of one step: more of them gain nothing where the batch is full of tokens before.
MAX_SEQUENCES = 64


def plan_encoder(machine: Machine, shape: ModelShape, limits: EngineConfig, encoding: Encoding) -> Plan:
    """Decide how to run an encoder of this shape on this machine, within these limits.

    Raises:
        ConfigurationInvalid: a limit that nothing can keep.
        ModelLoadFailed: the machine cannot hold the model with even 512 tokens.
    """
    if encoding.can_split:
        return _plan_in_pieces(plan(machine, shape, limits), shape)
    wanted = min(shape.context_length, limits.max_context)
    least = min(MIN_CONTEXT, wanted)
    base = plan(machine, shape, dataclasses.replace(limits, max_context=least, max_sequences=1))
    room = machine.memory_available - machine.memory_available // 10 - base.estimated_bytes
    context = wanted
    while context > least and _buffer_bytes(shape, context, has_kernel=base.flash_attention) > room:
        context = max(least, context - CELL_STEP)
    batch = min(limits.batch_size, context)
    buffers = _buffer_bytes(shape, context, has_kernel=base.flash_attention)
    longest = "The model was trained with so many." if context == shape.context_length else "The limit."
    return dataclasses.replace(
        base,
        batch_size=batch,
        ubatch_size=context,
        context_length=context,
        num_cells=context,
        max_sequences=min(MAX_SEQUENCES, batch),
        estimated_bytes=base.estimated_bytes + buffers,
        reasons={
            **base.reasons,
            "batch_size": f"At most {limits.batch_size} tokens a step, but for one longer text.",
            "ubatch_size": "Every token sees the whole text, which must be computed at once.",
            "context_length": longest if context == wanted else f"Memory allows no more; {wanted} were wanted.",
            "num_cells": "As many as the context: the texts of a step share them, and none is kept.",
            "max_sequences": f"At most {MAX_SEQUENCES} texts a step.",
            "estimated_bytes": f"Weights, and {buffers >> 20} MiB to compute the longest text.",
        },
    )


def _plan_in_pieces(base: Plan, shape: ModelShape) -> Plan:
    outputs = 4 * shape.vocabulary_size * base.ubatch_size
    return dataclasses.replace(
        base,
        batch_size=base.ubatch_size,
        max_sequences=min(MAX_SEQUENCES, base.ubatch_size),
        estimated_bytes=base.estimated_bytes + outputs,
        reasons={
            **base.reasons,
            "batch_size": "As many as are computed at once; a longer text is computed in pieces.",
            "max_sequences": f"At most {MAX_SEQUENCES} texts a step.",
        },
    )


def _buffer_bytes(shape: ModelShape, tokens: int, *, has_kernel: bool) -> int:
    """Bytes for one step of so many tokens: logits, activations, and the attention's mask or all its weights."""
    return (
        4
        * tokens
        * (shape.vocabulary_size + 16 * shape.embedding_length + tokens * (1 if has_kernel else shape.head_count + 1))
    )
