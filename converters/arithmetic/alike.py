"""Checkpoints held against each other: whether their tensors have the same names and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.architectures.base import are_equal, listed, size_text
from converters.arithmetic.operations import padded
from converters.checkpoint import Checkpoint
from converters.tensors import Tensor
from converters.token_rows import is_embedding
from runtime.errors import ConversionRefused

Table = dict[str, Tensor]

# Buffers that some versions of transformers saved and all compute anew.
_COMPUTED = ("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", "embeddings.position_ids")
_HEAD = "lm_head.weight"


def alike(leading: Checkpoint, others: Sequence[Checkpoint], *, pads: bool = False) -> list[Table]:
    """The tensors of `leading` and of each of the others, all under the same names.

    pads: where `leading` has more rows of tokens, the others get rows of zeros.

    Raises:
        ConversionRefused: names or shapes differ; all of them are told at once.
    """
    tables = [_weights_of(each) for each in (leading, *others)]
    _drop_tied_heads((leading, *others), tables)
    told = [
        f"{each.folder}: {faults}"
        for each, table in zip(others, tables[1:], strict=True)
        if (faults := _faults(leading, tables[0], each, table, pads=pads))
    ]
    if told:
        raise ConversionRefused(
            f"The tensors are not those of {leading.folder}. " + ". ".join(told) + ".",
            remedy="Give models of one architecture and one size.",
        )
    rows = {name: tensor.shape[0] for name, tensor in tables[0].items()}
    return [tables[0], *({name: padded(table[name], rows[name]) for name in rows} for table in tables[1:])]


def _weights_of(checkpoint: Checkpoint) -> Table:
    if "quantization_config" in checkpoint.config:
        raise ConversionRefused(
            f"{checkpoint.folder} is quantized, and what is computed of it would lose more.",
            remedy="Get the checkpoint that it was made from.",
        )
    return {name: tensor for name, tensor in checkpoint.tensors.items() if not name.endswith(_COMPUTED)}


def _drop_tied_heads(checkpoints: Sequence[Checkpoint], tables: Sequence[Table]) -> None:
    """Leave a head that is the embedding out of all, where it is in the files of some alone."""
    holding = [table for table in tables if _HEAD in table]
    if len(holding) in {0, len(tables)} or not all(map(_is_tied, checkpoints)):
        return
    if all(_is_embedding(table[_HEAD], table) for table in holding):
        for table in holding:
            del table[_HEAD]


def _is_tied(checkpoint: Checkpoint) -> bool:
    # Families differ in what is meant where nothing is said; a head that is missing says the rest.
    return checkpoint.config.flag("tie_word_embeddings", default=True)


def _is_embedding(head: Tensor, table: Mapping[str, Tensor]) -> bool:
    return any(are_equal(head, tensor) for name, tensor in table.items() if is_embedding(name))


def _faults(leading: Checkpoint, wanted: Table, other: Checkpoint, found: Table, *, pads: bool) -> str:
    """What keeps two tables from being computed with each other; empty where nothing does."""
    wrong = [
        f"{name} ({size_text(tensor.shape)} instead of {size_text(wanted[name].shape)})"
        for name, tensor in found.items()
        if name in wanted
        and tensor.shape != wanted[name].shape
        and not (pads and _only_lacks_tokens(leading, wanted[name], other, tensor))
    ]
    kinds = (
        ("missing", [name for name in wanted if name not in found]),
        ("unexpected", [name for name in found if name not in wanted]),
        ("of another shape", wrong),
    )
    return "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in kinds if names)


def _only_lacks_tokens(leading: Checkpoint, wanted: Tensor, other: Checkpoint, found: Tensor) -> bool:
    """Whether a tensor has a row for each token, and fewer rows than the leading one because of fewer tokens."""
    rows = vocabulary_size(other), vocabulary_size(leading)
    return (found.shape[0], wanted.shape[0]) == rows and rows[0] < rows[1] and found.shape[1:] == wanted.shape[1:]


def vocabulary_size(checkpoint: Checkpoint) -> int:
    """How many tokens the config tells of; 0 where it does not."""
    text = checkpoint.config.section("text_config")
    return (text if "vocab_size" in text else checkpoint.config).integer("vocab_size", default=0)
