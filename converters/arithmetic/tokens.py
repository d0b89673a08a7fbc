"""Which text each id stands for, and whether two tokenizers agree on that."""

from __future__ import annotations

from collections.abc import Mapping

from converters.checkpoint import Checkpoint
from converters.tokenizer_source import tokenizer_source
from runtime.errors import ConversionRefused


def tokens_of(checkpoint: Checkpoint) -> dict[int, str]:
    """The tokens of a checkpoint by their ids; none where it has no tokenizer that can be read."""
    try:
        return tokenizer_source(checkpoint).tokens()
    except (ConversionRefused, ValueError):
        return {}


def num_differing(one: Mapping[int, str], other: Mapping[int, str]) -> int:
    """How many of the ids that both have stand for other texts."""
    return sum(text != other[number] for number, text in one.items() if number in other)
