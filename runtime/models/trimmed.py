"""What a trimmed GGUF says of itself, and how an adapter says which vocabulary it belongs to.

`converters/adapt` writes these entries; `check_adapter` in `adapter.py` holds adapters against them.
"""

from __future__ import annotations

from runtime.models.gguf_format import StringArray
from runtime.models.header import Header

# The row of the original that each row is, an array of int32.
MAP_KEY = "demotic.trim.map"
# How many rows the original has, and the fingerprint of its vocabulary.
ROWS_KEY = "demotic.trim.rows"
ORIGINAL_KEY = "demotic.trim.original"
# In an adapter: the fingerprint of the vocabulary that it was made or remapped for.
ADAPTER_KEY = "demotic.adapter.vocabulary"
# The tensors with a row for each token: the last dimension, in ggml's order, counts tokens.
VOCABULARY_TENSORS = ("token_embd.weight", "output.weight", "output.bias", "per_layer_token_embd.weight")


def fingerprint(header: Header) -> str:
    """The SHA-256 of a model's tokens in their order; empty where it has none."""
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    return tokens.sha256() if isinstance(tokens, StringArray) else ""


def is_trimmed(header: Header) -> bool:
    """Whether rows of the vocabulary were dropped from the model."""
    return MAP_KEY in header.metadata
