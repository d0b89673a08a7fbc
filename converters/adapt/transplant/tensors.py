"""The tensors that a new vocabulary changes: those with a row for each token, and RoBERTa's positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converters.adapt.transplant.plan import Plan
from converters.adapt.transplant.rows import SEED, planted
from converters.architectures.base import are_equal
from converters.checkpoint import Checkpoint
from converters.config import Config
from converters.factors import COORDINATES
from converters.tensors import FloatArray, Tensor, transposed
from converters.token_rows import EMBEDDINGS, ends_with, is_bias_of_columns, is_head, is_head_bias, is_of_head
from runtime.errors import ConversionRefused, UnsupportedArchitecture
from runtime.models.onnx_config import OFFSET_POSITIONS

_EMBEDDINGS = (*EMBEDDINGS, COORDINATES)
_POSITIONS = "embeddings.position_embeddings.weight"
# A table of positions has a row for each id up to the padding token's, which is a waste where that is large.
_MAX_PAD = 2**10


def embedding_of(checkpoint: Checkpoint) -> str:
    """The name of the input embedding.

    Raises:
        UnsupportedArchitecture: the model sees more than text, is quantized, or has no embedding that is known.
    """
    config = checkpoint.config
    if "quantization_config" in config:
        raise UnsupportedArchitecture(
            f"{checkpoint.folder} is quantized.", remedy="Get the checkpoint that it was made from."
        )
    if "text_config" in config or "vision_config" in config:
        raise UnsupportedArchitecture(
            f"{checkpoint.folder} reads more than text, whose tokens another tokenizer has not.",
            remedy="Save its text model alone.",
        )
    for ending in _EMBEDDINGS[::-1] if config.flag("is_encoder_decoder", default=False) else _EMBEDDINGS:
        if found := [name for name in checkpoint.tensors if ends_with(name, (ending,))]:
            return found[0]
    raise UnsupportedArchitecture(
        f"{checkpoint.folder} has no embedding of tokens that is known.",
        remedy=f"Known are names that end with {', '.join(_EMBEDDINGS)}.",
    )


def with_rows(checkpoint: Checkpoint, plan: Plan, num_old: int) -> dict[str, Tensor]:
    """All tensors, those with a row for each token by the plan; the old vocabulary has `num_old` tokens.

    What has no counterpart is drawn for each tensor on its own. Tensors that are tied in the checkpoint, with equal
    values under several names, stay so.

    Raises:
        UnsupportedArchitecture: as `embedding_of`.
        ConversionRefused: a tensor that should have as many rows as the embedding has others, or one that is not known
            has as many.
    """
    embedding = embedding_of(checkpoint)
    num_rows = checkpoint.tensors[embedding].shape[0]
    tensors = dict(checkpoint.tensors)
    seeds = _seeds(checkpoint.tensors, embedding)
    for name, tensor in checkpoint.tensors.items():
        if is_bias_of_columns(name):
            tensors[name] = transposed(planted(transposed(tensor), plan, num_old, seeds[name]))
        elif name in seeds:
            if tensor.shape[0] != num_rows:
                raise ConversionRefused(
                    f"'{name}' has {tensor.shape[0]:,} rows, and '{embedding}' {num_rows:,}.",
                    remedy="Get the checkpoint again.",
                )
            tensors[name] = planted(tensor, plan, num_old, seeds[name])
        elif tensor.shape[0] == num_rows and num_rows not in _sizes(checkpoint):
            raise ConversionRefused(
                f"'{name}' has a row for each token, and is not known.", remedy="Report it with the name of the model."
            )
    return tensors


def vocabulary_tensors(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of all that has a row, or a column, for each token."""
    return [name for name in tensors if _is_looked_up(name) or is_of_head(name)]


def _is_looked_up(name: str) -> bool:
    return ends_with(name, _EMBEDDINGS)


def _seeds(tensors: Mapping[str, Tensor], embedding: str) -> dict[str, int]:
    """The seed of each tensor of the vocabulary: the same for all embeddings and for heads that equal them."""
    found = {name: SEED for name in tensors if _is_looked_up(name)}
    for name in (each for each in tensors if is_head(each)):
        found[name] = SEED if are_equal(tensors[name], tensors[embedding]) else SEED + 1
    found |= {name: SEED + 2 for name in tensors if is_head_bias(name)}
    return found | {name: SEED + 3 for name in tensors if is_bias_of_columns(name)}


def _sizes(checkpoint: Checkpoint) -> set[object]:
    """The other sizes of a model, which a small vocabulary may have by chance."""
    return {value for key, value in checkpoint.config.values.items() if key != "vocab_size" and isinstance(value, int)}


def with_positions(checkpoint: Checkpoint, old_pad: int | None, new_pad: int | None) -> Checkpoint:
    """The checkpoint with positions counted from another padding token.

    Of RoBERTa's family the first position stands in the row after the padding token's id, so rows move with it.

    Raises:
        ConversionRefused: the new tokenizer has no padding token, or one with so large an id that the table would be
            mostly empty.
    """
    if checkpoint.config.text("model_type", default="") not in OFFSET_POSITIONS or old_pad == new_pad:
        return checkpoint
    if new_pad is None or new_pad > _MAX_PAD or old_pad is None:
        told = "no padding token" if new_pad is None else f"its padding token at {new_pad:,}"
        raise ConversionRefused(
            f"The new tokenizer has {told}; this model counts positions from there.",
            remedy=f"Give one with a padding token among its first {_MAX_PAD:,}.",
        )
    tensors, values = dict(checkpoint.tensors), dict(checkpoint.config.values)
    for name, table in checkpoint.tensors.items():
        if name.endswith(_POSITIONS):
            tensors[name] = _moved(table, old_pad + 1, new_pad + 1)
            values["max_position_embeddings"] = tensors[name].shape[0]
    return replace(checkpoint, config=Config(values, checkpoint.config.where), tensors=tensors)


def _moved(table: Tensor, old_start: int, new_start: int) -> Tensor:
    """A table whose rows from `old_start` on begin at `new_start`, after zeros."""

    def read(start: int, stop: int) -> FloatArray:
        rows = table.whole()
        unused = np.zeros((new_start, rows.shape[1]), np.float32)
        return np.concatenate([unused, rows[old_start:]])[start:stop]

    return replace(table, shape=(table.shape[0] - old_start + new_start, *table.shape[1:]), read=read)
