"""What the files that transformers saves beside a model say of it: config.json, generation_config.json and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Entries of generation_config.json that are kept.
GENERATION = (
    "num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size", "repetition_penalty", "max_length",
    "max_new_tokens", "min_length", "do_sample", "temperature", "top_k", "top_p", "bad_words_ids", "suppress_tokens",
    "begin_suppress_tokens",
)  # fmt: skip
# Families that count positions from the id of the padding token on.
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "longformer", "xlm-roberta-xl", "xmod")
_POSITIONS = ("max_position_embeddings", "n_positions", "seq_length")
_UNLIMITED = 10**6
_MARKS = ("pad", "bos", "decoder_start", "forced_bos", "forced_eos")


def max_length_of(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> int | None:
    """How many tokens a text may have; None where the model sets no limit, as with relative positions."""
    limits = [value for name in _POSITIONS if isinstance(value := config.get(name), int)][:1]
    if limits and config.get("model_type") in OFFSET_POSITIONS:
        limits = [limits[0] - int(config.get("pad_token_id") or 0) - 1]
    told = tokenizer_config.get("model_max_length")
    if isinstance(told, int) and 0 < told < _UNLIMITED:
        limits.append(told)
    return min(limits, default=None)


def marks_of(config: Mapping[str, Any], generation: Mapping[str, Any]) -> dict[str, Any]:
    """Ids of the tokens that decoding and padding need; of `eos` a list. What `generation` says counts first."""

    def found(name: str) -> Any:
        value = generation.get(name)
        return config.get(name) if value is None else value

    ends = found("eos_token_id")
    ids = {name: found(f"{name}_token_id") for name in _MARKS}
    listed = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return {name: value for name, value in ids.items() if value is not None} | {"eos": listed}
