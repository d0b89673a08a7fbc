"""A mapping that is ready: a JSON list with, for each new id, its token and old tokens with weights.

Source of the format: trans-tokenization, https://arxiv.org/abs/2408.04303, whose `extend_mapping` gives
`[token, [[old_token, weight], ...]]`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeAlias

from converters.adapt.transplant.plan import Draft, Plan
from converters.adapt.transplant.special import require_unknown
from converters.adapt.transplant.vocabulary import Vocabulary
from runtime.errors import ConversionRefused, InvalidRequest

# Of one new token: its name, and names of old tokens with their weights.
Entry: TypeAlias = tuple[str, tuple[tuple[str, float], ...]]

_FORM = 'It is a list with ["token", [["old token", 0.7], ["another", 0.3]]] for each id of the new tokenizer.'
_SHOWN = 5


def read_mapping(path: Path) -> list[Entry]:
    """The entries of a mapping file.

    Raises:
        InvalidRequest: there is no such file, or it is no mapping.
    """
    if not path.is_file():
        raise InvalidRequest(f"There is no file {path}.", remedy="Give a mapping as JSON.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InvalidRequest(f"{path} is no JSON: {fault}.", remedy=_FORM) from fault
    if not isinstance(values, list):
        raise InvalidRequest(f"{path} holds no list.", remedy=_FORM)
    return [_entry(path, token, value) for token, value in enumerate(values)]


def _entry(path: Path, token: int, value: Any) -> Entry:
    match value:
        case [str(name), [*pairs]]:
            return name, tuple(_pair(path, token, pair) for pair in pairs)
    raise InvalidRequest(f"{path} has at {token} no token with a list, but {value!r:.60}.", remedy=_FORM)


def _pair(path: Path, token: int, value: Any) -> tuple[str, float]:
    match value:
        case [str(name), int() | float() as weight] if not isinstance(weight, bool) and math.isfinite(weight):
            return name, float(weight)
    raise InvalidRequest(f"{path} has at {token} no old token with a weight, but {value!r:.60}.", remedy=_FORM)


def plan_by_mapping(entries: list[Entry], old: Vocabulary, new: Vocabulary) -> Plan:
    """Rows as a mapping says: a sum by weights, of one old token a copy, of none the old unknown token's.

    Raises:
        ConversionRefused: it has not one entry for each id of the new tokenizer, in its order, or names old tokens that
            there are not.
    """
    if len(entries) != len(new):
        raise ConversionRefused(
            f"The mapping has {len(entries):,} entries, the new tokenizer {len(new):,} tokens.",
            remedy="Make the mapping for this tokenizer.",
        )
    both = enumerate(zip(entries, new.names, strict=True))
    differing = [(at, theirs, ours) for at, ((theirs, _), ours) in both if ours is not None and theirs != ours]
    if differing:
        at, theirs, ours = differing[0]
        raise ConversionRefused(
            f"The mapping names {len(differing):,} tokens otherwise than the new tokenizer: token {at} is {theirs!r} "
            f"there and {ours!r} here.",
            remedy="Make the mapping for this tokenizer.",
        )
    missing = sorted({name for _, named in entries for name, _ in named if name not in old.ids})
    if missing:
        shown = ", ".join(repr(name) for name in missing[:_SHOWN])
        raise ConversionRefused(
            f"The mapping names {len(missing):,} old tokens that the model's tokenizer has not: {shown}.",
            remedy="Make the mapping for this model's tokenizer.",
        )
    draft = Draft(len(new))
    for token, (_, named) in enumerate(entries):
        if len(named) == 1:  # copied, whatever its weight
            draft.mix(token, [old.ids[named[0][0]]], [1.0])
        elif named:
            draft.mix(token, [old.ids[name] for name, _ in named], [weight for _, weight in named])
    is_whole = all(named for _, named in entries)
    return draft.finished() if is_whole else draft.finished(require_unknown(old))
