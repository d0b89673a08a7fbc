"""config.json and generation_config.json with the ids of the new tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from converters.adapt.transplant.special import COUNTERPARTS
from converters.adapt.transplant.vocabulary import Vocabulary
from converters.checkpoint import GENERATION_FILE

# What transformers fills in where an entry is not there.
_ALWAYS = ("bos", "eos", "pad")
# Lists of ids without "token_id" in their names.
_LISTS = frozenset({"suppress_tokens", "begin_suppress_tokens"})
# Words as lists of ids, and pairs of a place and an id.
_WORDS, _PLACES = frozenset({"bad_words_ids", "force_words_ids"}), frozenset({"forced_decoder_ids"})


@dataclass(frozen=True)
class Renumbering:
    """What an old id is called in the new vocabulary."""

    old: Vocabulary
    new: Vocabulary

    def new_id(self, token: int) -> int | None:
        """The new token for an old one: that of its role, else the one with the same text; None without either."""
        for role in [role for role, each in self.old.roles.items() if each == token]:
            if (found := self.of_role(role)) is not None:
                return found
        form = self.old.forms[token] if 0 <= token < len(self.old) else None
        return None if form is None else self.new.by_form.get(form)

    def of_role(self, role: str) -> int | None:
        """The new token of a role, or of the one that stands for it; what fills up does not stand for a mask."""
        near = [each for each in COUNTERPARTS[role] if role != "mask" or each == role]
        return next((self.new.roles[each] for each in near if each in self.new.roles), None)

    def config(self, values: Mapping[str, Any], tokenizer_class: str | None, notes: list[str]) -> dict[str, Any]:
        """All of config.json; `notes` gets a sentence on each id that has no counterpart."""
        changed = {key: self._changed(key, value, "config.json", notes) for key, value in values.items()}
        changed |= {f"{role}_token_id": self.of_role(role) for role in _ALWAYS if f"{role}_token_id" not in changed}
        changed |= {f"{role}_token_id": token for role, token in self.new.roles.items() if role not in _ALWAYS}
        changed |= {"vocab_size": len(self.new), "tokenizer_class": tokenizer_class}
        return {key: value for key, value in changed.items() if key != "tokenizer_class" or value is not None}

    def generation(self, values: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
        """All of generation_config.json."""
        return {key: self._changed(key, value, GENERATION_FILE, notes) for key, value in values.items()}

    def _changed(self, key: str, value: Any, where: str, notes: list[str]) -> Any:
        role = key.removesuffix("_token_id")
        if key != role and role in COUNTERPARTS:
            return self._of_role_key(role, value)
        is_id = key.endswith(("_token_id", "_token_ids")) or key in _LISTS
        match value:
            case int() if is_id and not isinstance(value, bool):
                found = self.new_id(value)
                if found is None and value >= 0:
                    notes.append(f"{key} of {where} is null: the new tokenizer has no token like {self._name(value)}.")
                return found
            case list() if is_id:
                return [found for each in value if (found := self.new_id(each)) is not None]
            case list() if key in _WORDS:
                words = [[self.new_id(token) for token in word] for word in value]
                return [word for word in words if None not in word]
            case list() if key in _PLACES:
                pairs = [(place, None if token is None else self.new_id(token)) for place, token in value]
                return [[place, token] for place, token in pairs if token is not None]
        return value

    def _of_role_key(self, role: str, value: Any) -> Any:
        """The id of a role; of several that end an answer also those that the new tokenizer has by the same text."""
        main = self.of_role(role)
        if not isinstance(value, list):
            return main
        found = [main, *map(self.new_id, value)]
        return list(dict.fromkeys(each for each in found if each is not None)) or None

    def _name(self, token: int) -> str:
        name = self.old.names[token] if token < len(self.old) else None
        return repr(name) if name is not None else f"the old {token}"
