"""A base with an adapter in its weights: a checkpoint whose tensors are computed a piece at a time, as they are read.

W + scale B A for LoRA (https://arxiv.org/abs/2106.09685), m (W + scale B A) / |W + scale B A| for DoRA
(https://arxiv.org/abs/2402.09353), the adapter's own weights where it saved whole modules. All in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from converters.adapters.fit import Fit, fit, is_across
from converters.adapters.peft import Adapter, Lora
from converters.architectures.base import Architecture, are_equal
from converters.architectures.options import Options
from converters.architectures.registry import architecture_of
from converters.checkpoint import Checkpoint
from converters.config import Config
from converters.tensors import FloatArray, Tensor


def merged(checkpoint: Checkpoint, adapter: Adapter, notes: list[str]) -> Checkpoint:
    """The checkpoint with the adapter's changes; `notes` gets sentences on what a person may not expect.

    Raises:
        UnsupportedArchitecture, ConversionRefused: the base is not converted, or the adapter is not for it.
    """
    architecture = architecture_of(checkpoint, Options())
    by_name: dict[str, str] = {}
    for stored in checkpoint.tensors:
        by_name.setdefault(architecture.canonical(stored), stored)
    tensors = {name: checkpoint.tensors[stored] for name, stored in by_name.items()}
    if architecture.embedding not in tensors:
        return checkpoint  # it is no whole model, which the conversion refuses with all that it lacks
    _tie(architecture, tensors)
    changes = fit(adapter, architecture, {name: tensor.shape for name, tensor in tensors.items()}, notes)
    _change(architecture, adapter, changes, tensors)
    embedding, head = architecture.embedding, architecture.head
    if head not in by_name and tensors.get(head) is tensors[embedding]:
        del tensors[head]
    # Its values need no longer be those of a half precision: a type that is made in two steps begins with float32.
    values = {key: value for key, value in checkpoint.config.values.items() if key not in {"dtype", "torch_dtype"}}
    if (rows := tensors[embedding].shape[0]) != architecture.vocabulary_size:
        values["vocab_size"] = rows
        notes.append(f"The vocabulary has {rows} rows, as the adapter's; the base has {architecture.vocabulary_size}.")
    if adapter.has_tokenizer:
        notes.append("The tokenizer is the adapter's.")
    unchanged = {stored: tensor for stored, tensor in checkpoint.tensors.items() if stored not in by_name.values()}
    return replace(
        checkpoint,
        config=Config(values, checkpoint.config.where),
        tensors={by_name.get(name, name): tensor for name, tensor in tensors.items()} | unchanged,
        tokenizer_folder=adapter.folder if adapter.has_tokenizer else checkpoint.tokenizer_folder,
        is_merged=True,
    )


def _tie(architecture: Architecture, tensors: dict[str, Tensor]) -> None:
    """Let the head be the very tensor of the embedding where it is so in the base."""
    head, embedding = architecture.head, architecture.embedding
    is_shared = architecture.has_head and architecture.is_tied
    if is_shared and (head not in tensors or are_equal(tensors[head], tensors[embedding])):
        tensors[head] = tensors[embedding]


def _change(architecture: Architecture, adapter: Adapter, changes: Fit, tensors: dict[str, Tensor]) -> None:
    """Make the changes in PEFT's order: the base's own weights, their rows, modules beside them, then what is added.

    What is done to the base's own embedding is done to a head that is the same tensor.
    """

    def put(name: str, tensor: Tensor) -> None:
        shared = [each for each, value in tensors.items() if value is tensors[name]]
        tensors.update(dict.fromkeys(shared, tensor))

    own = {name for name in changes.saved if adapter.settings.is_saved(name.rpartition(".")[0])}
    for name in changes.saved.keys() - own:
        put(name, changes.saved[name])
    for name, (rows, indices) in changes.tokens.items():
        put(name, _with_rows(tensors[name], rows, indices))
    for name in own:
        tensors[name] = changes.saved[name]
    for name, lora in changes.loras.items():
        tensors[name] = with_lora(tensors[name], lora, across=is_across(architecture, name, lora))
        if lora.bias is not None:
            bias = name.replace(".weight", ".bias")
            tensors[bias] = _with_bias(tensors[bias], lora.bias, np.float32(lora.scale))


def with_lora(base: Tensor, lora: Lora, *, across: bool) -> Tensor:
    """The weight of a module with its LoRA or DoRA; `across` where it has a row for each input."""
    scale = np.float32(lora.scale)

    def added(start: int, stop: int) -> FloatArray:
        if across:
            rows: FloatArray = (lora.b.whole() @ lora.a.whole()[:, start:stop]).T
        else:
            rows = lora.b.read(start, stop) @ lora.a.whole()
        rows *= scale
        rows += base.read(start, stop)
        return rows

    plain = replace(base, read=added)
    if lora.magnitude is None:
        return plain
    factors = _dora_across(plain, lora.magnitude) if across else _dora(lora.magnitude)
    return replace(base, read=lambda start, stop: factors(added(start, stop), start))


def _dora(magnitude: Tensor) -> Callable[[FloatArray, int], FloatArray]:
    """Rows of the given length, each by its own."""

    def scaled(rows: FloatArray, start: int) -> FloatArray:
        wanted = magnitude.whole().ravel()[start : start + len(rows)]
        result: FloatArray = rows * (wanted / np.linalg.norm(rows, axis=1))[:, None]
        return result

    return scaled


def _dora_across(plain: Tensor, magnitude: Tensor) -> Callable[[FloatArray, int], FloatArray]:
    """Columns of the given length, which are measured over all rows once."""

    @cache
    def factors() -> FloatArray:
        squares = sum(np.square(rows, dtype=np.float64).sum(axis=0) for rows in plain.blocks())
        result: FloatArray = (magnitude.whole().ravel() / np.sqrt(squares)).astype(np.float32)
        return result

    return lambda rows, _: rows * factors()


def _with_bias(base: Tensor, bias: Tensor, scale: np.float32) -> Tensor:
    return replace(base, read=lambda start, stop: base.read(start, stop) + scale * bias.read(start, stop))


def _with_rows(base: Tensor, rows: Tensor, indices: list[int]) -> Tensor:
    def read(start: int, stop: int) -> FloatArray:
        values = base.read(start, stop).copy()
        for at, index in enumerate(indices):
            if start <= index < stop:
                values[index - start] = rows.read(at, at + 1)[0]
        return values

    return replace(base, read=read)
