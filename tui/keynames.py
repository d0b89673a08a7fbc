"""Keys in texts: a text names an action, such as `{stop}`, and people read the key that it has now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tui.keymap import Action, keys_of
from tui.words import _

_keys: dict[str, tuple[str, ...]] = {}


class _Named(dict[str, str]):
    """What stands for names in a text; those that are no actions stay as they are."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


def use_keys(actions: Iterable[Action], keymap: Mapping[str, str]) -> None:
    """Have texts name the keys of `actions` as `keymap` sets them, in the whole process."""
    _keys.clear()
    _keys.update({action.name: keys_of(action, keymap) for action in actions})


def with_keys(text: str) -> str:
    """`text` with the first key of an action in the place of its name."""
    return text.format_map(_Named({name: readable(keys[0]) for name, keys in _known().items()}))


def all_keys(action: str) -> str:
    """All keys of an action, such as o/1."""
    return "/".join(key if len(key) == 1 else readable(key) for key in _known()[action])


def readable(key: str) -> str:
    """A key as people write it: Ctrl-N, F2, PageUp."""
    names = {
        "pageup": "PageUp",
        "pagedown": "PageDown",
        "question_mark": "?",
        "escape": _("Esc"),
        "enter": _("Enter"),
        "tab": _("Tab"),
    }
    parts = key.split("+")
    return "-".join(names.get(part, part.capitalize()) for part in parts)


def _known() -> Mapping[str, tuple[str, ...]]:
    if not _keys:
        from tui.actions import all_actions
        from tui.app import ChatApp  # which knows this file

        use_keys(all_actions(ChatApp.BINDINGS), {})
    return _keys
