"""Which tensors of a checkpoint have a row for each token, and these with the rows that are kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from converters.adapt.selection import Selection
from converters.checkpoint import Checkpoint
from converters.tensors import Tensor, kept_rows, of_array
from converters.token_rows import ends_with, is_embedding, is_of_head
from runtime.errors import ConversionRefused

# What is looked up besides the embedding.
_PER_LAYER = ("embed_tokens_per_layer.weight",)


def has_row_for_each_token(name: str) -> bool:
    """Whether a tensor of this name is an embedding, or belongs to a head."""
    return is_embedding(name) or is_of_head(name) or ends_with(name, _PER_LAYER)


def trimmed_tensors(tensors: Mapping[str, Tensor], selection: Selection, num_rows: int) -> dict[str, Tensor]:
    """The tensors, those with a row for each token with the kept ones.

    Raises:
        ConversionRefused: another one has so many rows or columns, so that nothing tells whether they are tokens.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if num_rows not in tensor.shape:
            found[name] = tensor
        elif not has_row_for_each_token(name):
            raise ConversionRefused(
                f"'{name}' has the vocabulary's size, {num_rows}, and is neither an embedding nor a head that is known."
            )
        elif tensor.shape[0] == num_rows:
            found[name] = kept_rows(tensor, selection.tokens)
        else:
            values = np.take(tensor.whole(), selection.tokens, axis=tensor.shape.index(num_rows))
            found[name] = of_array(values, tensor.dtype)
    return found


def rows_of_vocabulary(checkpoint: Checkpoint) -> int:
    """How many rows the embeddings of a checkpoint have.

    Raises:
        ConversionRefused: it has none, or of different sizes.
    """
    rows = {tensor.shape[0] for name, tensor in checkpoint.tensors.items() if is_embedding(name)}
    if len(rows) != 1:
        raise ConversionRefused(
            f"{checkpoint.folder} has {len(rows) or 'no'} embeddings of different sizes.",
            remedy="Models of texts with one vocabulary are trimmed.",
        )
    return rows.pop()
