"""A picker of languages: some choices of its own, then all languages by name, then whatever code is typed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from runtime.errors import UnknownLanguage
from tui.choosing.languages import all_named, named
from tui.history.folding import fold
from tui.screens.picker import Picker, Row
from tui.words import _, mark


class LanguagePicker(Picker[str]):
    """Gives a language's code, or the value of one of `first`, which stand before all languages."""

    search_hint = mark("Language, by any of its names")
    # Values, and English texts for the catalogues.
    first: ClassVar[Sequence[tuple[str, str]]] = ()

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current

    def rows(self) -> Iterable[Row[str]]:
        """The first ones, then all by name."""
        first = [(code, _(text), _(text)) for code, text in self.first]
        for code, label, searched in [*first, *((n.code, n.label, n.searched) for n in all_named())]:
            text = f"{label} · {_('in use')}" if code == self._current else label
            yield Row(code, text, "", fold(searched))

    def made_of(self, typed: str) -> Iterable[Row[str]]:
        """A language that is none of the list's, by code or name."""
        try:
            found = named(typed) if typed else None
        except UnknownLanguage:
            return
        if found is not None and all(row.value != found.code for row in self._shown_rows(typed)):
            yield Row(found.code, f"{found.label} · {found.code}")

    def _shown_rows(self, typed: str) -> list[Row[str]]:
        words = fold(typed).split()
        return [row for row in self.rows() if all(word in row.searched for word in words)]
