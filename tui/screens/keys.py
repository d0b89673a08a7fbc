"""All keys, as they are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from tui.keymap import FILE, PLACES, Action, keys_of
from tui.keynames import readable, with_keys
from tui.laid import Laid
from tui.screens.panel import Panel
from tui.words import _, mark


class KeysPanel(Panel[None]):
    """Shows the keys of each place; the first places are nearest to what was open."""

    DEFAULT_CSS = """
    KeysPanel VerticalScroll {
        height: auto;
        max-height: 18;
    }
    KeysPanel .keys {
        height: auto;
    }
    """
    title_text = mark("Keys")
    hint_text = mark("↑ ↓ scroll · {leave} leaves · {file} in the configuration folder changes them")

    def __init__(self, actions: Iterable[Action], keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._actions = list(actions)
        self._keymap = keymap

    def compose_body(self) -> ComposeResult:
        """The list, which scrolls."""
        with VerticalScroll():
            yield Laid(classes="keys", markup=False)

    def on_mount(self) -> None:
        """Give the list the keys."""
        super().on_mount()
        self.query_one(VerticalScroll).focus()

    def show_words(self) -> None:
        """Show the keys with what they do."""
        super().show_words()
        self.query_one(".hint", Laid).update(with_keys(_(self.hint_text)).format(file=FILE))
        lines: list[str] = []
        for place, actions in groupby(self._actions, key=lambda action: action.place):
            lines += ["", _(PLACES[place])] if lines else [_(PLACES[place])]
            for action in actions:
                keys = ", ".join(readable(key) for key in keys_of(action, self._keymap))
                lines.append(f"{keys}: {_(action.help)}")
        self.query_one(".keys", Laid).update("\n".join(lines))
