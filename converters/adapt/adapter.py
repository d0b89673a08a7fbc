"""A LoRA for a model, made one for the trimmed model."""

from __future__ import annotations

from pathlib import Path

from runtime.models.files import Progress
from runtime.models.gguf_copy import Rows, entries_of, text_entry, write_copy
from runtime.models.gguf_format import parse
from runtime.models.trimmed import ADAPTER_KEY, VOCABULARY_TENSORS


def adapter_path(output: Path, adapter: Path) -> Path:
    """Where the adapter for the trimmed model at `output` goes: beside it, under both names."""
    return output.with_name(f"{output.stem}-{adapter.stem}.gguf")


def remap_adapter(adapter: Path, target: Path, kept: Rows, vocabulary: str, progress: Progress) -> None:
    """Write the adapter, which has been checked, with the rows of kept tokens, and stamp it with `vocabulary`.

    That is the fingerprint of the trimmed model's vocabulary. Of the embedding, whose rows are looked up, the first
    matrix has a row a token; of the head the second.
    """
    file = parse(adapter)
    entries = entries_of(adapter, file) | {ADAPTER_KEY: text_entry(vocabulary)}
    rows = {name: kept for name in file.tensors if _has_row_for_each_token(name)}
    write_copy(target, adapter, file, entries, rows, progress, title=target.name)


def _has_row_for_each_token(name: str) -> bool:
    base, _, matrix = name.rpartition(".")
    return base in VOCABULARY_TENSORS and matrix == ("lora_a" if base == "token_embd.weight" else "lora_b")
