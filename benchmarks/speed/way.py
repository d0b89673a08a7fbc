"""A way to run a model, as reports tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.digest import digest_of
from benchmarks.speed.plan import Variant
from runtime.hardware.choice import device_of
from runtime.hardware.plan import Plan


@dataclass(frozen=True)
class Way:
    """One way to run a model. `settings` are as they were used."""

    name: str
    model: str
    quantization: str
    sha256: str
    file_bytes: int
    settings: dict[str, Any]


def way_of(variant: Variant, used: Plan) -> Way:
    """What is told of a variant that was run as `used` says; its file is read through once for its SHA-256."""
    card = variant.card
    digest, size = digest_of(card.file.path)
    settings = {
        "device": device_of(used),
        "kv_type": used.kv_type,
        "threads": used.threads,
        "threads_batch": used.threads_batch,
        "gpu_layers": used.gpu_layers,
        "flash_attention": used.flash_attention,
        "batch_size": used.batch_size,
        "ubatch_size": used.ubatch_size,
        "context": used.context_length,
        "kv_cells": used.num_cells,
        "sequences": used.max_sequences,
    }
    return Way(variant.name, card.name, card.header.quantization, digest, size, settings)
