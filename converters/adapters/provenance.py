"""What an artefact says of the adapter that was merged into it, beside what it says of the base."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from converters.adapters.peft import Adapter
from converters.card import Card, read_card
from converters.checkpoint import Checkpoint
from converters.manifest import source_files


def facts_of(adapter: Adapter) -> dict[str, Any]:
    """Its entry in the manifest."""
    card = read_card(adapter.folder, adapter.origin)
    return {
        "made_from": adapter.origin.source,
        "revision": adapter.origin.revision,
        "license": card.license,
        "base_model": adapter.settings.base,
        "source_files": [asdict(file) for file in source_files(adapter.folder, [adapter.weight_file])],
    }


def card_with(base: Card, adapter: Adapter, checkpoint: Checkpoint, notes: list[str]) -> Card:
    """The base's card with the adapter's languages first, and the base as what the artefact was made from.

    `notes` gets what does not fit together: another base than the adapter names, another licence than the base's.
    """
    own = read_card(adapter.folder, adapter.origin)
    named = adapter.settings.base
    if named and named.rstrip("/").rsplit("/", 1)[-1].casefold() != checkpoint.name.casefold():
        notes.append(f"The adapter names {named} as its base; it was merged into {checkpoint.origin.source}.")
    if own.license and own.license != base.license:
        notes.append(f"The adapter's licence is {own.license}, the base's {base.license or 'not named'}.")
    return replace(
        base,
        license=base.license or own.license,
        languages=tuple(dict.fromkeys((*own.languages, *base.languages))),
        base_models=(named,) if named else base.base_models,
    )
