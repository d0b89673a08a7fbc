"""The language lock: in the script of which language answers stay, and how strictly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType

from runtime.errors import UnknownLanguage
from tui.choosing.choices import Lock, Mode
from tui.choosing.languages import all_named, named
from tui.history.folding import fold
from tui.screens.picker import Picker, Row
from tui.words import _, mark

OFF = ""
AUTO = "auto"
MODES: tuple[Mode, ...] = ("soft", "hard")
_MODE_WORDS: dict[Mode, str] = {
    "soft": mark("soft: other scripts become unlikely"),
    "hard": mark("hard: other scripts are impossible"),
}


class LockPicker(Picker[str]):
    """Gives a language's code, `AUTO`, or `OFF`; `mode` is how strictly."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_mode", show=False, priority=True, id="lock-mode", tooltip=mark("soft or hard lock")),
    ]
    title_text = mark("Keep answers in the script of a language")
    hint_text = mark("Type to search · ↑ ↓ Enter choose · Tab soft or hard · Esc leaves")
    search_hint = mark("Language, by any of its names")

    def __init__(self, lock: Lock | None) -> None:
        super().__init__()
        self._lock = lock
        self.mode: Mode = lock.mode if lock is not None else "soft"

    @property
    def heading(self) -> str:
        """With the mode."""
        return f"{_(self.title_text)} · {_(_MODE_WORDS[self.mode])}"

    def rows(self) -> Iterable[Row[str]]:
        """Off, the person's own language, then all by name."""
        current = self._lock.language if self._lock is not None else OFF
        first = [(OFF, _("off")), (AUTO, _("the language of the message"))]
        every = [*((code, name, name) for code, name in first), *((n.code, n.label, n.searched) for n in all_named())]
        for code, label, searched in every:
            text = f"{label} · {_('in use')}" if code == current else label
            yield Row(code, text, "", fold(searched))

    def made_of(self, typed: str) -> Iterable[Row[str]]:
        """A language that is none of the list's, by code or name."""
        try:
            found = named(typed) if typed else None
        except UnknownLanguage:
            return
        if found is not None and all(row.value != found.code for row in self._shown_rows(typed)):
            yield Row(found.code, f"{found.label} · {found.code}")

    def action_next_mode(self) -> None:
        """Soft or hard."""
        self.mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]
        self.show_words()

    def _shown_rows(self, typed: str) -> list[Row[str]]:
        words = fold(typed).split()
        return [row for row in self.rows() if all(word in row.searched for word in words)]
