"""What folders of graphs and of checkpoints have in common when they are trimmed: files, map of rows, manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.adapt.renumber import (
    changed_added_tokens,
    changed_config,
    changed_settings,
    changed_tokenizer_config,
    ids_in,
    resized,
)
from converters.adapt.selection import Selection
from converters.adapt.tokenizer_json import trimmed_json
from converters.adapt.vocabulary import Vocabulary
from converters.card import read_card
from converters.checkpoint import CONFIG_FILE, GENERATION_FILE, TOKENIZER_FILE, Origin, read_json
from converters.manifest import Manifest, SourceFile, made_from, now, sha256_of_text, tools
from runtime.errors import ConversionRefused
from runtime.models.name import SETTINGS_FILE
from runtime.models.onnx_config import OFFSET_POSITIONS

# The row of the original that each row is, an array of int32.
MAP_FILE = "trim_map.npy"
_CONFIGS = (CONFIG_FILE, GENERATION_FILE)
_TOKENIZER_CONFIG, _ADDED = "tokenizer_config.json", "added_tokens.json"
# Vocabularies in the forms before tokenizer.json, which would go on telling of all tokens.
_OLD_VOCABULARIES = frozenset({"vocab.json", "merges.txt", "vocab.txt"})
_OLD_SUFFIXES = frozenset({".model", ".spm", ".tiktoken"})


def read_spec(path: Path) -> dict[str, Any]:
    """A tokenizer.json.

    Raises:
        ConversionRefused: it is damaged.
    """
    spec = read_json(path)
    if not isinstance(spec.get("model"), dict) or not isinstance(spec["model"].get("vocab"), dict | list):
        raise ConversionRefused(f"{path} is damaged: it has no vocabulary.", remedy="Get it again.")
    return spec


def referred_ids(folder: Path, num_rows: int) -> frozenset[int]:
    """The ids that the files of a folder refer to.

    Where positions are counted from the padding token's id on, that id may not change: all below it stay too.
    """
    found: set[int] = set()
    for name in (*_CONFIGS, _TOKENIZER_CONFIG):
        if (folder / name).is_file():
            found |= ids_in(read_json(folder / name))
    config = read_json(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else {}
    kind, pad = config.get("model_type"), config.get("pad_token_id")
    if (folder / SETTINGS_FILE).is_file():
        settings = read_json(folder / SETTINGS_FILE)
        found |= ids_in(settings, changed_settings)
        kind, pad = settings.get("architecture"), (settings.get("tokens") or {}).get("pad")
    if kind in OFFSET_POSITIONS and isinstance(pad, int):
        found |= set(range(pad + 1))
    return frozenset(token for token in found if token < num_rows)


def trimmed_files(files: Mapping[str, Path | str], selection: Selection, num_rows: int) -> dict[str, Path | str]:
    """What the files become: those that hold ids as their new text, old vocabularies left out, others as they are."""
    new_ids, size = selection.new_ids, len(selection.tokens)

    def change(token: int) -> int:
        return new_ids.get(token, token)  # what no row has was left alone before

    found: dict[str, Path | str] = {}
    spec = trimmed_json(_json(files[TOKENIZER_FILE]), new_ids)
    tokenizer = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
    for name, source in files.items():
        if name in _OLD_VOCABULARIES or Path(name).suffix in _OLD_SUFFIXES:
            continue
        if name == TOKENIZER_FILE:
            found[name] = tokenizer
            continue
        if name in _CONFIGS:
            values = resized(changed_config(_json(source), change), num_rows, size)
        elif name == SETTINGS_FILE:
            values = changed_settings(_json(source), change)
            values["sizes"] = {**values["sizes"], "vocabulary": size}
            values["tokenizer"] = {**values["tokenizer"], "sha256": sha256_of_text(tokenizer)}
        elif name == _TOKENIZER_CONFIG:
            values = changed_tokenizer_config(_json(source), new_ids)
        elif name == _ADDED:
            values = changed_added_tokens(_json(source), new_ids)
        else:
            found[name] = source
            continue
        found[name] = json.dumps(values, ensure_ascii=False, indent=2) + "\n"
    return found


def _json(source: Path | str) -> dict[str, Any]:
    values: dict[str, Any] = read_json(source) if isinstance(source, Path) else json.loads(source)
    return values


def write_map(target: Path, source: Path, selection: Selection) -> None:
    """Write the rows that were kept, of a folder that was trimmed before those of its own original.

    Raises:
        ConversionRefused: the source's map is damaged, or not its own.
    """
    rows = selection.tokens
    earlier = source / MAP_FILE
    if earlier.is_file():
        try:
            rows = np.load(earlier, allow_pickle=False)[rows]
        except (ValueError, IndexError, EOFError, OSError) as fault:
            raise ConversionRefused(f"{earlier} is damaged: {fault}.", remedy="Trim the original again.") from fault
    np.save(target / MAP_FILE, rows.astype(np.int32))


def trim_entry(
    report: dict[str, Any], source: Path, vocabulary: Vocabulary, manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest's entry: the report, where the map is, and what it leads to.

    `manifest` is the source's; of a source that was trimmed before the original is its own.
    """
    earlier = (manifest.get("trim") or {}).get("original") if (source / MAP_FILE).is_file() else None
    pieces = "\0".join(vocabulary.pieces).encode("utf-8", "surrogateescape")
    original = earlier or {"rows": len(vocabulary), "tokens_sha256": hashlib.sha256(pieces).hexdigest()}
    return {**report, "map": MAP_FILE, "original": original}


def manifest_without(origin: Origin, folder: Path, architecture: str, type_name: str) -> Manifest:
    """The manifest that a folder would have, where it has none."""
    return made_from(
        origin,
        read_card(folder, origin),
        file=folder.name,
        architecture=architecture,
        type_name=type_name,
        sources=(),
        notes=(),
    )


def trimmed_manifest(
    before: Manifest, name: str, read: tuple[SourceFile, ...], entry: dict[str, Any], more_tools: tuple[str, ...] = ()
) -> Manifest:
    """What the source's manifest becomes: of another name, made of the files `read`, with the trim's entry."""
    return replace(
        before,
        file=name,
        source_files=read,
        tools=before.tools | tools(*more_tools),
        tokenizer={},
        parity=None,
        trim=entry,
        made_at=now(),
    )
