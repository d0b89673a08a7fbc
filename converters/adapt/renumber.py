"""The files in JSON beside a model whose entries hold ids of tokens: read for these ids, and with other ids.

These are demotic.json, and what transformers saves: config.json, generation_config.json, tokenizer_config.json and
added_tokens.json. Names of entries: https://huggingface.co/docs/transformers/main_classes/text_generation and
https://huggingface.co/docs/transformers/main_classes/configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

# What becomes of an id.
Change: TypeAlias = Callable[[int], int]

# Entries that are an id, or ids in lists or by names.
_IDS = re.compile(r"(?:^|_)token_(?:ids?|index)$")
_LISTS = frozenset(
    "suppress_tokens begin_suppress_tokens bad_words_ids force_words_ids lang_to_id lang_code_to_id task_to_id".split()
)
# Lists of pairs: a place and an id, ids and a number.
_SECOND, _FIRST = "forced_decoder_ids", "sequence_bias"
_SIZE = re.compile(r"^(?!type_).*vocab_size")


def changed_config(values: Any, change: Change) -> Any:
    """An object of JSON that transformers saved, with `change` of each id in it, at any depth."""
    match values:
        case dict():
            return {key: _changed_entry(key, value, change) for key, value in values.items()}
        case list():
            return [changed_config(value, change) for value in values]
    return values


def changed_settings(settings: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """demotic.json with `change` of each id in it."""
    languages = settings.get("languages")
    changed = {
        **settings,
        "tokens": _changed(settings.get("tokens") or {}, change),
        "generation": changed_config(settings.get("generation") or {}, change),
    }
    if languages is not None:
        parts = {name: _changed(languages[name], change) for name in ("codes", "source")}
        changed["languages"] = {**languages, **parts}
    return changed


def changed_tokenizer_config(values: Mapping[str, Any], new_ids: Mapping[int, int]) -> dict[str, Any]:
    """tokenizer_config.json with the ids that `new_ids` gives; added tokens that have none are left out."""
    changed: dict[str, Any] = changed_config(values, lambda token: new_ids.get(token, token))
    added = changed.get("added_tokens_decoder")
    if isinstance(added, dict):
        changed["added_tokens_decoder"] = {
            str(new_ids[int(token)]): told for token, told in added.items() if int(token) in new_ids
        }
    return changed


def changed_added_tokens(values: Mapping[str, int], new_ids: Mapping[int, int]) -> dict[str, int]:
    """added_tokens.json with the ids that `new_ids` gives; tokens that have none are left out."""
    return {text: new_ids[token] for text, token in values.items() if token in new_ids}


def resized(values: Any, before: int, after: int) -> Any:
    """A config, at any depth, with the size `after` wherever a vocabulary has the size `before`."""
    match values:
        case dict():
            return {
                key: after if _SIZE.match(key) and value == before else resized(value, before, after)
                for key, value in values.items()
            }
        case list():
            return [resized(value, before, after) for value in values]
    return values


def ids_in(values: Any, how: Callable[[Any, Change], Any] = changed_config) -> set[int]:
    """The ids that an object refers to, which `how` changes."""
    found: set[int] = set()

    def note(token: int) -> int:
        found.add(token)
        return token

    how(values, note)
    return found


def _changed_entry(key: str, value: Any, change: Change) -> Any:
    if key in _LISTS or _IDS.search(key):
        return _changed(value, change)
    if key in {_FIRST, _SECOND} and isinstance(value, list):
        return [
            [_changed(first, change), second] if key == _FIRST else [first, _changed(second, change)]
            for first, second in value
        ]
    return changed_config(value, change)


def _changed(value: Any, change: Change) -> Any:
    """An id, or all in lists and by names; what is below 0 stands for none."""
    match value:
        case bool():
            return value
        case int() if value >= 0:
            return change(value)
        case list():
            return [_changed(each, change) for each in value]
        case dict():
            return {key: _changed(each, change) for key, each in value.items()}
    return value
