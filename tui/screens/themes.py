"""The theme picker: each theme is shown while it is marked."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widgets import OptionList

from tui.history.folding import fold
from tui.screens.picker import Picker, Row
from tui.themes import LABELS
from tui.words import _, mark


class ThemePicker(Picker[str]):
    """Gives a theme's name; leaving it brings back the one that was there."""

    title_text = mark("Choose a theme")

    def on_mount(self) -> None:
        """Remember what was there."""
        self._before = self.app.theme
        super().on_mount()
        names = list(LABELS)
        if self._before in names:
            self.query_one(OptionList).highlighted = names.index(self._before)

    def rows(self) -> Iterable[Row[str]]:
        """All themes."""
        return [Row(name, _(label), "", fold(f"{_(label)} {name}")) for name, label in LABELS.items()]

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show it."""
        event.stop()
        if event.option_index < len(self.found):
            self.app.theme = self.found[event.option_index].value

    def action_leave(self) -> None:
        """As it was."""
        self.app.theme = self._before
        super().action_leave()
