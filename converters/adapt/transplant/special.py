"""Which old special token stands for a new one."""

from __future__ import annotations

from collections.abc import Mapping

from converters.adapt.transplant.plan import Draft, Kind
from converters.adapt.transplant.vocabulary import Vocabulary
from runtime.errors import ConversionRefused

# By role, those whose token stands for it, the nearest first. Source: trans-tokenization, `map_tokens`.
COUNTERPARTS: Mapping[str, tuple[str, ...]] = {
    "pad": ("pad",),
    "unk": ("unk",),
    "bos": ("bos", "cls"),
    "eos": ("eos", "sep"),
    "cls": ("cls", "bos"),
    "sep": ("sep", "eos"),
    "mask": ("mask", "pad"),
}
_UNKNOWN = ("unk", "pad", "bos", "eos")


def unknown_of(old: Vocabulary) -> int | None:
    """The old token for what has none: the unknown one, else padding, the beginning or the end of a text, if any."""
    return next((old.roles[role] for role in _UNKNOWN if role in old.roles), None)


def require_unknown(old: Vocabulary) -> int:
    """The same.

    Raises:
        ConversionRefused: there is none.
    """
    found = unknown_of(old)
    if found is None:
        raise ConversionRefused(
            "The model's tokenizer names no unknown token, none that fills up, and none that begins or ends a text.",
            remedy="Name one in its tokenizer_config.json.",
        )
    return found


def counterparts(old: Vocabulary, new: Vocabulary) -> dict[int, int]:
    """The old token of each new one that has a role; one that has no counterpart is left out."""
    found: dict[int, int] = {}
    for role, roles in COUNTERPARTS.items():
        near = next((old.roles[each] for each in roles if each in old.roles), None)
        if role in new.roles and near is not None:
            found.setdefault(new.roles[role], near)
    return found


def copy_special(draft: Draft, old: Vocabulary, new: Vocabulary) -> None:
    """Give tokens with a role the row of their counterpart; one without gets the old unknown token's, if there is."""
    found, unknown = counterparts(old, new), unknown_of(old)
    for token in dict.fromkeys(new.roles.values()):
        if token in found:
            draft.copy(token, found[token], Kind.SPECIAL)
        elif unknown is not None:
            draft.copy(token, unknown, Kind.UNKNOWN)
