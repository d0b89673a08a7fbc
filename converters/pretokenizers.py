"""Which of llama.cpp's pre-tokenizers splits text as a tokenizer.json does, derived from the structure of the file.

llama.cpp knows the ways in which byte-level BPE splits text before merging by name (`tokenizer.ggml.pre`). The name
follows from the regular expressions, never from the ids that some text gets: these change with the vocabulary. Where
there is none, the one is taken that splits the corpus most alike; the runtime reads texts by the tokenizer.json anyway.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import tokenizers
from tokenizers import pre_tokenizers

from converters.probes import PROBES

# ("split", regex), ("digits", one by one), ("bytes", with GPT-2's regex); and whether whole words skip the merges.
Structure: TypeAlias = tuple[tuple[tuple[str, str | bool], ...], bool]

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_REST_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+"
_CASED_UPPER = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
_TEKKEN = rf"{_CASED}|{_CASED_UPPER}|\p{{N}}|{_REST_SLASH}"
_GPT_4O = rf"{_CASED}{_CONTRACTIONS}?|{_CASED_UPPER}{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_REST_SLASH}"
_BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"

_BYTES = ("bytes", False)
_GPT2_BYTES = ("bytes", True)
_NAMES: dict[Structure, str] = {
    ((_GPT2_BYTES,), False): "gpt-2",
    ((("digits", True), _GPT2_BYTES), False): "smollm",
    ((("split", _LLAMA3), _BYTES), True): "llama-bpe",
    ((("split", _LLAMA3), _BYTES), False): "smaug-bpe",
    ((("split", _QWEN2), _BYTES), False): "qwen2",
    ((("split", _TEKKEN), _BYTES), True): "tekken",
    # llama.cpp's "gpt-4o" leaves out \p{M} and so splits words of Indic scripts; this is the same regex with it.
    ((("split", _GPT_4O), _BYTES), False): "granite-embed-multi-97m",
    ((("split", _GPT_4O), _BYTES), True): "granite-embed-multi-97m",
    ((("split", _BLOOM), _BYTES), False): "bloom",
}


def pre_tokenizer_of(tokenizer: dict[str, Any]) -> str | None:
    """The name for a tokenizer.json with byte-level BPE; None where llama.cpp has no such pre-tokenizer."""
    steps: list[tuple[str, str | bool]] = []
    for step in steps_of(tokenizer.get("pre_tokenizer")):
        match step:
            case {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Isolated", "invert": False}:
                steps.append(("split", regex))
            case {"type": "Digits", "individual_digits": bool(is_each)}:
                steps.append(("digits", is_each))
            case {"type": "ByteLevel"} if not step.get("add_prefix_space"):
                steps.append(("bytes", bool(step.get("use_regex", True))))
            case _:
                return None
    return _NAMES.get((tuple(steps), bool(tokenizer["model"].get("ignore_merges"))))


def nearest_pre_tokenizer(tokenizer: dict[str, Any]) -> str:
    """The one that splits most texts of the corpus as a tokenizer.json does for which there is no name."""
    # tokenizers makes a pre-tokenizer of JSON only as a part of a whole tokenizer.
    own = tokenizers.Tokenizer.from_str(json.dumps({**tokenizer, "added_tokens": []})).pre_tokenizer
    wanted = [] if own is None else [own.pre_tokenize_str(probe.text) for probe in PROBES]
    puts_space = any(step.get("add_prefix_space") for step in steps_of(tokenizer.get("pre_tokenizer")))
    ignores_merges = bool(tokenizer["model"].get("ignore_merges"))

    def likeness(structure: Structure) -> tuple[int, bool]:
        steps, ignores = structure
        known = _made(steps, puts_space=puts_space)
        same = sum(known.pre_tokenize_str(probe.text) == split for probe, split in zip(PROBES, wanted, strict=False))
        return same, ignores == ignores_merges

    return _NAMES[max(_NAMES, key=likeness)]


def _made(steps: tuple[tuple[str, str | bool], ...], *, puts_space: bool) -> pre_tokenizers.PreTokenizer:
    parts: list[pre_tokenizers.PreTokenizer] = []
    for kind, value in steps:
        match kind, value:
            case "split", str(regex):
                parts.append(pre_tokenizers.Split(tokenizers.Regex(regex), "isolated"))
            case "digits", _:
                parts.append(pre_tokenizers.Digits(individual_digits=bool(value)))
            case _:
                parts.append(pre_tokenizers.ByteLevel(add_prefix_space=puts_space, use_regex=bool(value)))
    return pre_tokenizers.Sequence(parts)


def steps_of(component: Any) -> list[dict[str, Any]]:
    """The parts of a normalizer, pre-tokenizer or decoder of a tokenizer.json, one or a sequence, in order."""
    if not isinstance(component, dict):
        return []
    if component.get("type") != "Sequence":
        return [component]
    parts: list[Any] = [part for key in ("pretokenizers", "normalizers", "decoders") for part in component.get(key, [])]
    return [step for part in parts for step in steps_of(part)]
