"""What to use of a machine for an encoder-decoder.

Its encoder sees all of a source at once, and llama.cpp computes the sources of all running sequences in one batch, so
the batch is what decides on memory: buffers for attention that grow with its square, and room for the logits of each of
its tokens, though the encoder has none (`output_reserve` in llama-context.cpp).
"""

from __future__ import annotations

import dataclasses

from runtime.config import EngineConfig
from runtime.errors import ModelLoadFailed
from runtime.hardware.plan import MIN_CONTEXT, Plan, plan
from runtime.hardware.probe import Machine
from runtime.hardware.room import CELL_STEP, round_up, sized, usable_cards
from runtime.models.header import ModelShape

# More gain little in a batch, and cost all that run before them when they join.
_MAX_SEQUENCES = 8
_MAX_BATCH = 4096
# Of the memory that is left beside the weights, the most that the batch's buffers may take.
_SHARE = 0.5
_MAX_START = 16
_F32 = 4


def plan_seq2seq(machine: Machine, shape: ModelShape, limits: EngineConfig) -> Plan:
    """Decide how to run an encoder-decoder of this shape on this machine, within these limits.

    Keys and values are float32: T5 does not scale the scores of its attention, so that they are large and lose more to
    rounding, and there are few of them. Its attention has a bias, which flash attention does not know.

    Raises:
        ConfigurationInvalid: a limit that nothing can keep.
        ModelLoadFailed: the machine cannot hold the model with even 512 tokens.
    """
    wanted = min(shape.context_length, limits.max_context)
    least = min(MIN_CONTEXT, wanted)
    base = plan(machine, shape, dataclasses.replace(limits, max_context=least, max_sequences=1))
    # That plan's own estimate counts the weights, and a small context's keys and values in half the size.
    room = machine.memory_available - machine.memory_available // 10 - base.estimated_bytes
    if base.gpu_layers:
        card_room = _card_room(machine, shape)
        if _bytes(shape, least, least) > card_room:
            base = plan(_without_cards(machine), shape, dataclasses.replace(limits, max_context=least, max_sequences=1))
        else:
            room = min(room, card_room)
    sequences = min(limits.max_sequences, _MAX_SEQUENCES)
    context = wanted
    while context > least and _bytes(shape, context, context) > room:
        context = max(least, context - CELL_STEP)
    if _bytes(shape, context, context) > room:
        raise ModelLoadFailed(
            f"The model needs {sized(_bytes(shape, context, context))} of memory beside its weights for a text "
            f"of {context} tokens, but {sized(max(0, room))} can be used.",
            remedy="Choose a smaller model, or free some memory.",
        )
    most = min(context * sequences, max(context, _MAX_BATCH))
    batch = context
    while batch < most and _bytes(shape, min(batch + CELL_STEP, most), most) < room * _SHARE:
        batch = min(batch + CELL_STEP, most)
    # llama.cpp takes no batch that is longer than the KV cache. How an answer begins is no part of its context.
    cells = round_up(max(batch, min(most, 2 * context)) + _MAX_START)
    taken = _bytes(shape, batch, cells)
    longest = "The model was trained with so many." if context == shape.context_length else "The limit."
    return dataclasses.replace(
        base,
        batch_size=batch,
        ubatch_size=batch,
        context_length=context,
        num_cells=cells,
        max_sequences=sequences,
        flash_attention=False,
        kv_type="f32",
        estimated_bytes=base.estimated_bytes + taken,
        reasons={
            **base.reasons,
            "batch_size": "So many tokens of sources are read together: each new one is read with those that run.",
            "ubatch_size": "The encoder sees all of a source, which must be computed at once.",
            "context_length": longest if context == wanted else f"Memory allows no more; {wanted} were wanted.",
            "num_cells": f"{cells / context:.3g} x the context, shared by all answers: "
            f"{sized(_kv_bytes(shape, cells))} of KV cache.",
            "max_sequences": f"At most {_MAX_SEQUENCES}: whenever one joins, all their sources are read again.",
            "flash_attention": "There is none for attention with a bias.",
            "kv_type": "Exact, and the answers of such models are short.",
            "estimated_bytes": f"Weights {sized(shape.size_bytes)}, and {sized(taken)} to compute "
            f"{batch} tokens of sources and keep {cells} of answers.",
        },
    )


def _bytes(shape: ModelShape, batch: int, cells: int) -> int:
    """Bytes for a batch of sources and for the KV cache."""
    return _kv_bytes(shape, cells) + _compute_bytes(shape, batch, cells) + _output_bytes(shape, batch)


def _kv_bytes(shape: ModelShape, cells: int) -> int:
    return sum(shape.head_counts_kv) * (shape.key_length + shape.value_length) * _F32 * cells


def _compute_bytes(shape: ModelShape, batch: int, cells: int) -> int:
    """Logits or activations; and scores of attention, the bias to them twice, distances and the mask.

    Against llama.cpp's own report for three shapes it is right to 2 %.
    """
    columns = max(shape.vocabulary_size + 4 * shape.embedding_length, 16 * shape.embedding_length)
    return _F32 * batch * (columns + (3 * shape.head_count + 2) * max(batch, cells))


def _output_bytes(shape: ModelShape, batch: int) -> int:
    return _F32 * batch * (shape.vocabulary_size + shape.embedding_length)


def _card_room(machine: Machine, shape: ModelShape) -> int:
    """Bytes that the fullest of the cards has beside its part of the weights."""
    free = [card.memory_free for card in usable_cards(machine.llama.devices)]
    return min(free) * 9 // 10 - shape.size_bytes // len(free)


def _without_cards(machine: Machine) -> Machine:
    return dataclasses.replace(machine, llama=dataclasses.replace(machine.llama, devices=()))
