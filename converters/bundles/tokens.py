"""Rows of tokens that an adapter of PEFT was trained with, in the type that the base has them in.

PEFT stores them beside the LoRA: rows of some tokens (`trainable_token_indices`), or whole matrices
(`modules_to_save`, `save_embedding_layers`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType

from converters.adapters.peft import Adapter
from converters.bundles.vocabulary import Stored
from converters.gguf.encode import encoded
from converters.tensors import FloatArray, Tensor
from runtime.errors import ConversionRefused
from runtime.models.gguf_copy import rows_in
from runtime.models.gguf_format import GgufFile, TensorInfo, parse

_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"
_HEADS = ("lm_head", "embed_out", "output_layer")
_ROWS_AT_ONCE = 4096


def changed_rows(base: Path, adapter: Adapter) -> dict[str, dict[int, Stored]]:
    """By tensor and row of the base, the rows that differ from its own, as the base would store them.

    Raises:
        ConversionRefused: they are not rows of this base, or change something else whole.
    """
    file = parse(base)
    changed: dict[str, dict[int, Stored]] = {}
    for module, values in adapter.tokens.items():
        tensor = _tensor_of(file, module, adapter)
        indices = adapter.settings.rows_of(module)
        _check_shape(tensor, values, len(indices), module)
        stored = _as_stored(values.read(0, len(indices)), tensor)
        changed.setdefault(tensor.name, {}).update(_differing(base, tensor, indices, stored))
    for name, values in adapter.saved.items():
        module = name.removesuffix(".weight")
        tensor = _tensor_of(file, module, adapter)
        num_rows = tensor.shape[-1]
        _check_shape(tensor, values, num_rows, module)
        found = changed.setdefault(tensor.name, {})
        for start in range(0, num_rows, _ROWS_AT_ONCE):
            end = min(start + _ROWS_AT_ONCE, num_rows)
            stored = _as_stored(values.read(start, end), tensor)
            found.update(_differing(base, tensor, range(start, end), stored))
    return {name: rows for name, rows in changed.items() if rows}


def _tensor_of(file: GgufFile, module: str, adapter: Adapter) -> TensorInfo:
    """The tensor that a module's rows are in; with one matrix for embedding and head that one."""
    is_head = module.rpartition(".")[2] in _HEADS
    if not is_head and "embed" not in module and not module.endswith("wte"):
        raise ConversionRefused(
            f"{adapter.weight_file} has '{module}' as a whole, which a bundle does not change.",
            remedy="Merge it into the model: demotic convert BASE --adapter ADAPTER.",
        )
    name = _HEAD if is_head and _HEAD in file.tensors else _EMBEDDING
    if name not in file.tensors:
        raise ConversionRefused("The base has no rows of tokens.")
    return file.tensors[name]


def _check_shape(tensor: TensorInfo, values: Tensor, num_rows: int, module: str) -> None:
    if tuple(values.shape) != (num_rows, tensor.shape[0]):
        raise ConversionRefused(
            f"The adapter has '{module}' of shape {list(values.shape)}, and the base has rows of {tensor.shape[0]}"
            f" for {tensor.shape[-1]} tokens.",
            remedy="Give the adapter's own base; where tokens were added, merge, convert, and give --tokens that GGUF.",
        )


def _as_stored(values: FloatArray, tensor: TensorInfo) -> Stored:
    try:
        kept = encoded(np.asarray(values, np.float32), GGMLQuantizationType[tensor.type], tensor.name)
    except NotImplementedError as fault:
        raise ConversionRefused(
            f"Rows of '{tensor.name}' are not written as {tensor.type}.",
            remedy="Give a base with another type there: demotic quantize --embedding-type Q8_0.",
        ) from fault
    return np.ascontiguousarray(kept).view(np.uint8).reshape(len(values), -1)


def _differing(base: Path, tensor: TensorInfo, rows: Sequence[int], stored: Stored) -> Mapping[int, Stored]:
    table = rows_in(base, tensor)
    found: dict[int, Stored] = {}
    for row, new in zip(rows, stored, strict=True):
        if not 0 <= row < tensor.shape[-1]:
            raise ConversionRefused(f"The adapter has a row for token {row}, and the base has {tensor.shape[-1]}.")
        if (table[row] != new).any():
            found[row] = new
    return found
