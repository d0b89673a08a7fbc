"""A tokenizer.json with some of its tokens, the others gone and all ids counted anew."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from converters.adapt.vocabulary import split_merge


def trimmed_json(spec: Mapping[str, Any], new_ids: Mapping[int, int]) -> dict[str, Any]:
    """The tokenizer with the tokens that `new_ids` gives an id; these must be in the order of the old ones.

    Merges stay whose parts and result do. What stands around texts keeps its tokens, which must be among them.
    """
    trimmed = copy.deepcopy(dict(spec))
    model = trimmed["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [piece for token, piece in enumerate(model["vocab"]) if token in new_ids]
        if model.get("unk_id") is not None:
            model["unk_id"] = new_ids[model["unk_id"]]
    else:
        kept = {piece: new_ids[token] for piece, token in model["vocab"].items() if token in new_ids}
        model["vocab"] = dict(sorted(kept.items(), key=lambda each: each[1]))
    if model["type"] == "BPE":
        model["merges"] = [merge for merge in model["merges"] if _stays(*split_merge(merge), model["vocab"])]
    trimmed["added_tokens"] = [
        {**token, "id": new_ids[token["id"]]} for token in trimmed.get("added_tokens", ()) if token["id"] in new_ids
    ]
    _renumber_processor(trimmed.get("post_processor"), new_ids)
    padding = trimmed.get("padding")
    if padding:
        padding["pad_id"] = new_ids[padding["pad_id"]]
    return trimmed


def _stays(left: str, right: str, vocabulary: Mapping[str, int]) -> bool:
    return left in vocabulary and right in vocabulary and left + right in vocabulary


def _renumber_processor(processor: dict[str, Any] | None, new_ids: Mapping[int, int]) -> None:
    if processor is None:
        return
    for inner in processor.get("processors", ()):
        _renumber_processor(inner, new_ids)
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = [new_ids[each] for each in token["ids"]]
    for name in ("sep", "cls"):
        if name in processor:
            text, token = processor[name]
            processor[name] = [text, new_ids[token]]


def processor_ids(spec: Mapping[str, Any]) -> set[int]:
    """The ids of what stands around texts, of what they are padded with, and of what unknown characters become."""
    found = {spec["padding"]["pad_id"]} if spec.get("padding") else set[int]()
    waiting = [spec.get("post_processor")]
    while waiting:
        processor = waiting.pop()
        if processor is None:
            continue
        waiting += processor.get("processors", ())
        for token in (processor.get("special_tokens") or {}).values():
            found |= set(token["ids"])
        found |= {processor[name][1] for name in ("sep", "cls") if name in processor}
    model = spec["model"]
    if model.get("unk_id") is not None:
        found.add(model["unk_id"])
    if isinstance(model.get("unk_token"), str) and model["unk_token"] in model["vocab"]:
        found.add(model["vocab"][model["unk_token"]])
    return found
