"""Which tensors of a checkpoint have a row for each token, by the names that transformers' classes give them."""

from __future__ import annotations

# Where a model looks up tokens: what the names end with, the input's of decoders first, the one of both sides last.
EMBEDDINGS = (
    "embed_tokens.weight", "word_embeddings.weight", "wte.weight", "embed_in.weight", "tok_embeddings.weight",
    "shared.weight",
)  # fmt: skip
# Where it computes how likely they are.
_HEADS = (
    "lm_head", "lm_head.decoder", "predictions.decoder", "decoder", "vocab_projector", "vocab_project",
    "generator_lm_head", "embed_out",
)  # fmt: skip
_HEAD_WEIGHTS = tuple(f"{name}.weight" for name in _HEADS)
_HEAD_BIASES = (*(f"{name}.bias" for name in _HEADS), "predictions.bias")
# A bias of one row, with a column for each token.
_COLUMNS = ("final_logits_bias",)


def ends_with(name: str, endings: tuple[str, ...]) -> bool:
    """Whether the last parts of a name are one of these."""
    return f".{name}".endswith(tuple(f".{ending}" for ending in endings))


def is_embedding(name: str) -> bool:
    """Whether tokens are looked up in it."""
    return ends_with(name, EMBEDDINGS)


def is_head(name: str) -> bool:
    """Whether it is the matrix of a head."""
    return ends_with(name, _HEAD_WEIGHTS)


def is_head_bias(name: str) -> bool:
    """Whether it is the bias of a head, an element a token."""
    return ends_with(name, _HEAD_BIASES)


def is_bias_of_columns(name: str) -> bool:
    """Whether it is a bias with a column for each token."""
    return ends_with(name, _COLUMNS)


def is_of_head(name: str) -> bool:
    """Whether it is any of these of a head."""
    return is_head(name) or is_head_bias(name) or is_bias_of_columns(name)
