"""A checkpoint computed of another and of adapters that PEFT saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.adapters.merge import merged
from converters.adapters.peft import Adapter, Lora
from converters.adapters.provenance import card_with, facts_of
from converters.architectures.base import Architecture, are_equal
from converters.architectures.options import Options
from converters.architectures.registry import architecture_of
from converters.arithmetic.plan import Plan
from converters.arithmetic.tokens import num_differing, tokens_of
from converters.card import read_card
from converters.checkpoint import TOKENIZER_FILE, Checkpoint
from converters.checkpoint_folder import contents_of
from converters.tensors import Tensor
from runtime.errors import ConversionRefused, InvalidRequest


def with_adapters(base: Checkpoint, adapters: Sequence[Adapter], scales: Sequence[float]) -> tuple[Plan, Checkpoint]:
    """The plan of the checkpoint with all adapters in its weights, one after the other, each times its scale.

    The checkpoint is the same in float32, before its values are rounded to the types that the base has them in.

    Raises:
        InvalidRequest: a scale is asked for that an adapter cannot have.
        UnsupportedArchitecture, ConversionRefused: the base is of no family that is known, or an adapter is not for it.
    """
    notes: list[str] = []
    card = read_card(base.folder, base.origin)
    result = base
    own = architecture_of(base, Options())
    if own.embedding not in map(own.canonical, base.tensors):
        raise ConversionRefused(
            f"{base.folder} is no whole model: it has no {own.embedding}.", remedy="Get the checkpoint again."
        )
    for adapter, scale in zip(adapters, scales, strict=True):
        architecture = architecture_of(result, Options())
        _check_tokens(result, adapter, architecture)
        card = card_with(card, adapter, base, notes)
        result = merged(result, scaled(adapter, scale), notes)
    architecture = architecture_of(result, Options())
    stored = {architecture.canonical(name): tensor.dtype for name, tensor in base.tensors.items()}
    default = stored.get(architecture.embedding, "F32")  # of a head that was parted from the embedding
    tensors = {
        name: replace(tensor, dtype=stored.get(architecture.canonical(name), default))
        for name, tensor in result.tensors.items()
    }
    is_parted = architecture.is_tied and _has_own_head(architecture, tensors)
    changes = {"tie_word_embeddings": False} if is_parted else {}
    if is_parted:
        notes.append("The head is no longer the embedding: an adapter changes one of them alone.")
    facts = {
        "kind": "adapters",
        "adapters": [{**facts_of(each), "scale": scale} for each, scale in zip(adapters, scales, strict=True)],
    }
    contents = replace(contents_of(result, changes, card), tensors=tensors)
    return Plan(contents, card, (base,), facts, list(dict.fromkeys(notes))), result


def scaled(adapter: Adapter, scale: float) -> Adapter:
    """The adapter with its products times `scale`.

    Raises:
        InvalidRequest: it does more than add products, of which there is no part.
    """
    if scale == 1:
        return adapter
    more = {
        "is a DoRA": adapter.settings.is_dora,
        "holds whole weights": bool(adapter.saved),
        "holds rows of tokens": bool(adapter.tokens),
    }
    if fault := next((fault for fault, is_so in more.items() if is_so), None):
        raise InvalidRequest(f"{adapter.folder} {fault}, so it has no scale but 1.", remedy="Leave out --scale.")

    def times(lora: Lora) -> Lora:
        return replace(lora, scale=lora.scale * scale)

    return replace(adapter, loras=tuple(map(times, adapter.loras)))


def _has_own_head(architecture: Architecture, tensors: Mapping[str, Tensor]) -> bool:
    """Whether there is a head that differs from the embedding."""
    by_name = {architecture.canonical(name): tensor for name, tensor in tensors.items()}
    head = by_name.get(architecture.head)
    return head is not None and not are_equal(head, by_name[architecture.embedding])


def _check_tokens(base: Checkpoint, adapter: Adapter, architecture: Architecture) -> None:
    """Refuse an adapter whose tokenizer gives the base's rows other meanings without bringing rows of its own."""
    if not adapter.has_tokenizer:
        return
    if architecture.embedding in map(architecture.canonical, adapter.saved):
        return
    own, others = tokens_of(replace(base, tokenizer_folder=adapter.folder)), tokens_of(base)
    outside = sum(number >= architecture.vocabulary_size for number in own)
    if number := num_differing(own, others) + outside:
        raise ConversionRefused(
            f"{adapter.folder} was trained with another vocabulary than that of {base.folder}: {number:,} of the ids "
            f"in its {TOKENIZER_FILE} stand for other tokens, or have no row.",
            remedy="Give the base that it was trained on.",
        )
