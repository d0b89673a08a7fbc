"""Which text each id stands for, and whether two tokenizers agree on that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from converters.checkpoint import Checkpoint
from converters.tokenizer_source import tokenizer_source
from runtime.errors import ConversionRefused


def tokens_of(checkpoint: Checkpoint) -> dict[int, str]:
    """The tokens of a checkpoint by their ids; none where it has no tokenizer that can be read."""
    try:
        spec = json.loads(tokenizer_source(checkpoint).text)
    except (ConversionRefused, ValueError):
        return {}
    return tokens_in(spec) if isinstance(spec, dict) else {}


def tokens_in(spec: Mapping[str, Any]) -> dict[int, str]:
    """The tokens of a tokenizer.json by their ids."""
    vocabulary = spec.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):  # of Unigram: pieces with their scores
        found = {number: str(piece[0]) for number, piece in enumerate(vocabulary)}
    else:
        found = {number: text for text, number in vocabulary.items()}
    return found | {token["id"]: token["content"] for token in spec.get("added_tokens", ())}


def num_differing(one: Mapping[int, str], other: Mapping[int, str]) -> int:
    """How many of the ids that both have stand for other texts."""
    return sum(text != other[number] for number, text in one.items() if number in other)
