"""A LoRA of PEFT's for a checkpoint, made one for the trimmed checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.adapt.checkpoint_rows import has_row_for_each_token
from converters.adapt.selection import Selection
from converters.adapters.peft import Adapter, read_adapter
from converters.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Origin, read_json, reader_of
from converters.tensors import Tensor, kept_rows, of_array
from converters.weights.write import write_weights
from runtime.errors import ConversionRefused, InvalidRequest, ModelFileInvalid
from runtime.models.files import Progress

_WRITTEN = "model.safetensors"  # as whole models are called
_TRAINED_ROWS = "trainable_token_indices"
_HEAD = "lm_head.weight"  # not in the file where it is the embedding


@dataclass(frozen=True)
class PeftAdapter:
    """An adapter that fits a checkpoint: its folder, its adapter_config.json, and its tensors as they are named."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def rows(self) -> set[int]:
        """The tokens whose rows of the embedding it trained."""
        told = self.config.get(_TRAINED_ROWS) or []
        return {row for rows in (told.values() if isinstance(told, dict) else [told]) for row in rows}


def open_peft(folder: Path, tensors: Mapping[str, Tensor]) -> PeftAdapter:
    """Read an adapter and hold it against the tensors of its base.

    Raises:
        InvalidRequest: there is no such folder.
        ConversionRefused: it is no LoRA, or brings a tokenizer of its own.
        ModelFileInvalid: it is an adapter of another base.
    """
    if not folder.is_dir():
        raise InvalidRequest(f"There is no folder {folder}.", remedy="Give the folder that PEFT saved the adapter in.")
    adapter = read_adapter(folder, Origin(folder.name))
    if adapter.has_tokenizer:
        raise ConversionRefused(
            f"{folder} brings a tokenizer of its own, which is not trimmed.", remedy="Merge it into the checkpoint."
        )
    if wrong := [name for name, shape in _changed(adapter).items() if not _fits(name, shape, tensors)]:
        raise ModelFileInvalid(
            f"{folder} is an adapter of another model: it changes '{wrong[0]}', which does not fit.",
            remedy="Give one of this very model.",
        )
    file = next(name for name in ADAPTER_WEIGHTS if (folder / name).is_file())
    return PeftAdapter(folder, read_json(folder / ADAPTER_CONFIG), reader_of(file)(folder / file))


def _changed(adapter: Adapter) -> dict[str, tuple[int, ...]]:
    """The base's tensors that it changes, with the shapes that they must have."""
    added = {f"{lora.module}.weight": (lora.b.shape[0], lora.a.shape[1]) for lora in adapter.loras}
    return added | {name: tensor.shape for name, tensor in adapter.saved.items()}


def _fits(name: str, shape: tuple[int, ...], tensors: Mapping[str, Tensor]) -> bool:
    """Whether the base has such a tensor; some lie transposed in it."""
    if name not in tensors and name == _HEAD:
        return any(shape == tensor.shape for each, tensor in tensors.items() if has_row_for_each_token(each))
    return name in tensors and tensors[name].shape in {shape, shape[::-1]}


def write_peft(
    target: Path, adapter: PeftAdapter, base: Path, selection: Selection, num_rows: int, progress: Progress
) -> None:
    """Write the adapter into an empty folder, with the rows that were kept; its base is at `base` now."""
    tensors = {name: _trimmed(name, tensor, selection, num_rows) for name, tensor in adapter.tensors.items()}
    write_weights(target, tensors, progress, title=adapter.folder.name)
    (target / _WRITTEN).rename(target / ADAPTER_WEIGHTS[0])
    config = {**adapter.config, "base_model_name_or_path": str(base)}
    told = config.get(_TRAINED_ROWS)
    if told:
        config[_TRAINED_ROWS] = (
            {name: _renumbered(rows, selection) for name, rows in told.items()}
            if isinstance(told, dict)
            else _renumbered(told, selection)
        )
    text = json.dumps(config, ensure_ascii=False, indent=2) + "\n"
    (target / ADAPTER_CONFIG).write_text(text, encoding="utf-8")


def _renumbered(rows: list[int], selection: Selection) -> list[int]:
    return [selection.new_ids[row] for row in rows]


def _trimmed(name: str, tensor: Tensor, selection: Selection, num_rows: int) -> Tensor:
    """Of the embedding the first matrix has a column a token, of the head the second a row; whole ones have rows."""
    module = name.partition(".lora_")[0].removesuffix(".weight")
    if num_rows not in tensor.shape or not has_row_for_each_token(f"{module}.weight"):
        return tensor
    if tensor.shape[0] == num_rows:
        return kept_rows(tensor, selection.tokens)
    axis = tensor.shape.index(num_rows)
    return of_array(np.take(tensor.whole(), selection.tokens, axis=axis), tensor.dtype)
