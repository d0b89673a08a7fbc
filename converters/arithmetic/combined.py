"""Checkpoints computed of whole checkpoints: linear merges, weight differences, transferred fine-tunings.

sum of w_i theta_i; base + difference; target + scale (finetuned - base), https://arxiv.org/abs/2503.20110.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from converters.arithmetic.alike import Table, alike, vocabulary_size
from converters.arithmetic.lineage import config_notes, distance, distance_note
from converters.arithmetic.operations import is_weight, transferred, weighted_sum
from converters.arithmetic.plan import Plan, facts_of
from converters.card import Card, read_card
from converters.checkpoint import GENERATION_FILE, TOKENIZER_FILE, Checkpoint
from converters.checkpoint_folder import Contents, contents_of
from runtime.errors import ConversionRefused, InvalidRequest
from runtime.models.files import Progress

# What of a config follows from the tokenizer.
_OF_TOKENIZER = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "decoder_start_token_id")


def linear(models: Sequence[Checkpoint], weights: Sequence[float], progress: Progress) -> Plan:
    """The weighted sum of models; config and tokenizer are the first one's.

    Raises:
        InvalidRequest: there is not one weight a model.
        ConversionRefused: their tensors differ; all differences are told at once.
    """
    if len(weights) != len(models):
        raise InvalidRequest(
            f"There are {len(models)} models and {len(weights)} weights.", remedy="Give one weight for each model."
        )
    first, *others = models
    tables = alike(first, others)
    notes = []
    if not math.isclose(math.fsum(weights), 1):
        notes.append(f"The weights add up to {math.fsum(weights):g}, not to 1.")
    for other, table in zip(others, tables[1:], strict=True):
        notes += config_notes(first, other)
        found = distance(tables[0], table, progress, title=f"Comparing {other.name} with {first.name}")
        notes += distance_note(first, other, found)
    tensors = {
        name: weighted_sum([table[name] for table in tables], weights) if is_weight(tensor) else tensor
        for name, tensor in tables[0].items()
    }
    card = _card(models)
    facts: dict[str, Any] = {
        "kind": "linear",
        "models": [{**facts_of(model), "weight": weight} for model, weight in zip(models, weights, strict=True)],
    }
    return Plan(replace(contents_of(first, card=card), tensors=tensors), card, tuple(models), facts, notes)


def with_delta(base: Checkpoint, difference: Checkpoint) -> Plan:
    """base + difference; config, tokenizer and types are the difference's.

    Where it has more rows of tokens, those are its own: the base counts as zeros there.

    Raises:
        ConversionRefused: their tensors differ; all differences are told at once.
    """
    _require_tokens(difference, base, "the base")
    own, of_base = alike(difference, [base], pads=True)
    tensors = {
        name: weighted_sum([tensor, of_base[name]], (1.0, 1.0)) if is_weight(tensor) else tensor
        for name, tensor in own.items()
    }
    card = _card([difference, base])
    facts = {"kind": "delta", "base": facts_of(base), "difference": facts_of(difference)}
    return Plan(
        replace(contents_of(difference, card=card), tensors=tensors), card, (difference, base), facts, _more(own, base)
    )


def with_transfer(
    base: Checkpoint, finetuned: Checkpoint, target: Checkpoint, scale: float, progress: Progress
) -> Plan:
    """target + scale (finetuned - base): the target's config and types, the fine-tuned model's tokenizer.

    Where that has more rows of tokens, base and target count as zeros there.

    Raises:
        ConversionRefused: their tensors differ; all differences are told at once.
    """
    for other, name in ((base, "the base"), (target, "the target")):
        _require_tokens(finetuned, other, name)
    new, old, to = alike(finetuned, [base, target], pads=True)
    notes = config_notes(base, target)
    notes += distance_note(base, target, far := distance(old, to, progress, title="Comparing base and target"))
    tensors = {
        name: transferred(old[name], new[name], tensor, scale) if is_weight(tensor) else tensor
        for name, tensor in to.items()
    }
    card = _card([target, finetuned, base])
    facts = {
        "kind": "transfer",
        "scale": scale,
        "distance": far,
        **{name: facts_of(each) for name, each in (("base", base), ("finetuned", finetuned), ("target", target))},
    }
    contents = _with_tokenizer_of(finetuned, target, card)
    return Plan(replace(contents, tensors=tensors), card, (target, finetuned, base), facts, [*_more(new, base), *notes])


def _with_tokenizer_of(finetuned: Checkpoint, target: Checkpoint, card: Card) -> Contents:
    """The target's files with the tokenizer, the ids and the ways of generation of the fine-tuned model."""
    changes: dict[str, Any] = {
        name: finetuned.config.values.get(name)
        for name in _OF_TOKENIZER
        if name in finetuned.config or name in target.config
    }
    if size := vocabulary_size(finetuned):
        text = target.config.section("text_config").values
        changes |= {"text_config": {**text, "vocab_size": size}} if "vocab_size" in text else {"vocab_size": size}
    folder = finetuned.path(TOKENIZER_FILE).parent
    contents = contents_of(replace(target, tokenizer_folder=folder), changes, card)
    files = {name: file for name, file in contents.files.items() if name != GENERATION_FILE}
    generation = finetuned.folder / GENERATION_FILE
    return replace(contents, files={**files, **({GENERATION_FILE: generation} if generation.is_file() else {})})


def _require_tokens(leading: Checkpoint, other: Checkpoint, name: str) -> None:
    """Refuse a leading model with fewer rows: rows of the other would have to go, and nothing says which."""
    own, others = vocabulary_size(leading), vocabulary_size(other)
    if own < others:
        raise ConversionRefused(
            f"{leading.folder} has {own:,} rows of tokens, {name} {other.folder} has {others:,}: rows can be added, "
            "but none left out.",
            remedy="Give the base that it was made of.",
        )


def _more(table: Table, base: Checkpoint) -> list[str]:
    """A sentence where a table has rows of tokens that the base has not."""
    held = base.tensors
    rows = [tensor.shape[0] - held[name].shape[0] for name, tensor in table.items() if name in held]
    return [f"{max(rows):,} rows of tokens are new: the base counts as zeros there."] if any(rows) else []


def _card(models: Sequence[Checkpoint]) -> Card:
    """The first model's card with the languages of all, and all as what it was made from."""
    cards = [read_card(model.folder, model.origin) for model in models]
    licenses = {card.license for card in cards if card.license}
    languages = dict.fromkeys(language for card in cards for language in card.languages)
    named = tuple(model.origin.source.removeprefix("hf:") for model in models)
    license_text = next(iter(licenses)) if len(licenses) == 1 else cards[0].license
    return replace(cards[0], license=license_text, languages=tuple(languages), base_models=named)
