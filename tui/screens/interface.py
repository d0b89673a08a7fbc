"""The picker of the interface's language."""

from __future__ import annotations

from collections.abc import Iterable

from tui.choosing.languages import named
from tui.history.folding import fold
from tui.screens.picker import Picker, Row
from tui.words import LANGUAGES, _, mark, used


class InterfacePicker(Picker[str]):
    """Gives a key of `LANGUAGES`."""

    title_text = mark("Show the chat in a language")
    search_hint = mark("Language, by any of its names")

    def rows(self) -> Iterable[Row[str]]:
        """Each by its name in the language that is used, and by its own."""
        for code in LANGUAGES:
            language = named(code)
            text = f"{language.label} · {_('in use')}" if code == used() else language.label
            yield Row(code, text, "", fold(f"{language.searched} {code}"))
