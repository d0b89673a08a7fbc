"""Pickers of messages: what the person said, and the branches of a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from tui.history.folding import fold
from tui.history.records import Entry
from tui.history.titles import title_of
from tui.screens.picker import Picker, Row
from tui.words import _, mark

_MOST_GRAPHEMES = 60


class SaidPicker(Picker[Entry]):
    """Gives a message of the person's."""

    title_text = mark("Which message is to be said in another way?")

    def __init__(self, said: Sequence[Entry]) -> None:
        super().__init__()
        self._said = said

    def rows(self) -> Iterable[Row[Entry]]:
        """Each by its beginning, in their order."""
        return [Row(entry, title_of(entry.text, _MOST_GRAPHEMES), "", fold(entry.text)) for entry in self._said]


class BranchPicker(Picker[int]):
    """Gives the first message of a branch."""

    title_text = mark("Which branch?")

    def __init__(self, branches: Sequence[Entry], shown: AbstractSet[int]) -> None:
        super().__init__()
        self._branches = branches
        self._shown = shown

    def rows(self) -> Iterable[Row[int]]:
        """Each by its place among those beside it, and its beginning."""
        for entry in self._branches:
            number, count = entry.position
            text = f"{number}/{count} {title_of(entry.text, _MOST_GRAPHEMES)}"
            yield Row(entry.id, f"{text} · {_('in use')}" if entry.id in self._shown else text, "", fold(entry.text))
