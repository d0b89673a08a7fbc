"""Conversations in a list to choose from, where there is no screen of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tui.history.folding import fold
from tui.screens.conversations import Row as Found
from tui.screens.picker import Picker, Row
from tui.words import mark


class TalkPicker(Picker[int]):
    """Gives a conversation's number."""

    title_text = mark("Which conversation?")

    def __init__(self, found: Sequence[Found]) -> None:
        super().__init__()
        self._found = found

    def rows(self) -> Iterable[Row[int]]:
        """Each by its title and what was found in it."""
        return [Row(number, title, detail, fold(f"{title} {detail}")) for number, title, detail in self._found]
