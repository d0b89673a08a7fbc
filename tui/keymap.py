"""The keys of the chat, as a person has them: `keys.toml` in the configuration folder, checked.

An action is a binding with an id, of the application, one of its screens, or one of its widgets. The file has a line
for each action that is to have other keys: `stop = "f9"`, `new = ["ctrl+n", "f4"]`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from textual.binding import Binding
from textual.keys import ASCII_KEY_NAMES, KEY_NAME_REPLACEMENTS, Keys, _character_to_key
from textual.widget import Widget

from runtime.config import config_dir
from runtime.errors import ConfigurationInvalid
from tui.words import mark

FILE = "keys.toml"
# The path of a place says what lies around it: keys of both work at the same time.
PLACES = {
    "": mark("Everywhere"),
    "conversation": mark("In the conversation"),
    "conversation/prompt": mark("Where you write"),
    "conversation/turn": mark("On a message"),
    "conversation/card": mark("On the card of a tool's call"),
    "conversations": mark("In the list of conversations"),
    "lab": mark("In the language lab"),
    "panel": mark("In lists and panels"),
    "panel/download": mark("Before a download"),
    "panel/lock": mark("In the language lock"),
    "panel/export": mark("Before an export"),
}
MODIFIERS = ("alt", "ctrl", "hyper", "meta", "shift", "super")
_NAMED = (
    frozenset(
        part
        for key in Keys
        if not key.value.startswith("<")
        for part in (key.value.rpartition("+")[2],)
        if len(part) > 1 and "-" not in part
    )
    | set(ASCII_KEY_NAMES.values())
    | set(KEY_NAME_REPLACEMENTS.values())
)
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Action:
    """What a key does: `help` is an English text, marked for the catalogues.

    `place` is where the key works, a key of `PLACES`.
    """

    name: str
    keys: tuple[str, ...]
    help: str
    place: str


def actions_of(places: Iterable[tuple[str, Iterable[object]]]) -> list[Action]:
    """The actions among the bindings of each place, in their order."""
    found: dict[tuple[str, str], Action] = {}
    for place, bindings in places:
        for binding in bindings:
            if isinstance(binding, Binding) and binding.id is not None:
                keys = tuple(key.strip() for key in binding.key.split(","))
                before = found.get((place, binding.id))
                text = binding.tooltip or binding.description
                all_keys = keys if before is None else (*before.keys, *keys)
                found[place, binding.id] = Action(binding.id, all_keys, text, place)
    return list(found.values())


def read_keymap(actions: Iterable[Action], path: Path | None = None) -> dict[str, str]:
    """The keys that the file gives to actions: keys of an action joined by commas, as Textual takes them.

    Raises:
        ConfigurationInvalid: the file cannot be read, or names an unknown action or key, or a key twice.
    """
    path = path or config_dir() / FILE
    every = list(actions)
    values = _values_in(path)
    known = list(dict.fromkeys(action.name for action in every))
    keymap = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigurationInvalid(
                f"{path} has an unknown action '{name}'.", remedy=_nearest(name, known) or f"{', '.join(known)}."
            )
        keymap[name] = tuple(_checked_key(key, name, path) for key in _listed(value, name, path))
    _refuse_clashes(every, keymap, path)
    return {name: ",".join(keys) for name, keys in keymap.items()}


def keys_of(action: Action, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that an action has now."""
    return tuple(keymap[action.name].split(",")) if action.name in keymap else action.keys


@runtime_checkable
class HasKeymap(Protocol):
    """An application whose keys can be set."""

    keymap: Mapping[str, str]


def action_of(widget: Widget, key: str) -> str | None:
    """The action of a widget's own bindings that has this key now."""
    app: object = widget.app
    keymap = app.keymap if isinstance(app, HasKeymap) else {}
    own = actions_of([("", type(widget).BINDINGS)])
    return next((action.name for action in own if key in keys_of(action, keymap)), None)


def _values_in(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigurationInvalid(f"{path} has more than {_MAX_BYTES // 1024} KiB.")
        return tomllib.loads(content.decode())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise ConfigurationInvalid(f"{path} cannot be read: {fault}.") from fault


def _listed(value: object, name: str, path: Path) -> list[str]:
    listed = [value] if isinstance(value, str) else value
    if isinstance(listed, list) and listed and all(isinstance(key, str) for key in listed):
        return listed
    raise ConfigurationInvalid(
        f"'{name}' in {path} must be a key, or a list of keys.", remedy='Write it like "ctrl+n".'
    )


def _checked_key(key: str, name: str, path: Path) -> str:
    """The key as Textual names it."""
    *modifiers, last = key.strip().split("+") if key.strip() not in {"+", ""} else [key.strip()]
    last = last.casefold() if len(last) > 1 else last
    modifiers = [modifier.casefold() for modifier in modifiers]
    for modifier in modifiers:
        if modifier not in MODIFIERS:
            raise _unknown_key(key, modifier, MODIFIERS, name, path)
    if len(last) == 1 and last.isprintable():
        last = _character_to_key(last)
    elif last not in _NAMED:
        raise _unknown_key(key, last, sorted(_NAMED), name, path)
    return "+".join([*sorted(set(modifiers)), last])


def _unknown_key(key: str, part: str, known: Iterable[str], name: str, path: Path) -> ConfigurationInvalid:
    remedy = _nearest(part, known) or "Write it like 'f9', 'ctrl+n', 'pageup' or 'x'."
    return ConfigurationInvalid(f"'{name}' in {path} has an unknown key '{key}'.", remedy=remedy)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"Did you mean '{near[0]}'?" if near else ""


def _refuse_clashes(actions: Iterable[Action], keymap: Mapping[str, tuple[str, ...]], path: Path) -> None:
    """No key may do two things at the same time."""
    taken: dict[str, list[Action]] = defaultdict(list)
    for action in actions:
        for key in keymap.get(action.name, action.keys):
            for other in taken[key]:
                is_set = action.name in keymap or other.name in keymap
                if is_set and other.name != action.name and _are_open_together(action.place, other.place):
                    raise ConfigurationInvalid(
                        f"{path} gives the key '{key}' to {other.name} and {action.name}.",
                        remedy="Give one of them another key.",
                    )
            taken[key].append(action)


def _are_open_together(place: str, other: str) -> bool:
    inner, outer = sorted((place, other), key=len, reverse=True)
    return not outer or inner == outer or inner.startswith(f"{outer}/")
