"""The language lock: in the script of which language answers stay, and how strictly."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tui.choosing.choices import Lock, Mode
from tui.choosing.locks import AUTO, MODES, OFF
from tui.screens.languages import LanguagePicker
from tui.words import _, mark

_MODE_WORDS: dict[Mode, str] = {
    "soft": mark("soft: other scripts become unlikely"),
    "hard": mark("hard: other scripts are impossible"),
}


class LockPicker(LanguagePicker):
    """Gives a language's code, `AUTO`, or `OFF`; `mode` is how strictly."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_mode", show=False, priority=True, id="lock-mode", tooltip=mark("soft or hard lock")),
    ]
    title_text = mark("Keep answers in the script of a language")
    hint_text = mark("Type to search · ↑ ↓ Enter choose · {lock-mode} soft or hard · {leave} leaves")
    first = ((OFF, mark("off")), (AUTO, mark("the language of the message")))

    def __init__(self, lock: Lock | None) -> None:
        super().__init__(lock.language if lock is not None else OFF)
        self.mode: Mode = lock.mode if lock is not None else "soft"

    @property
    def heading(self) -> str:
        """With the mode."""
        return f"{_(self.title_text)} · {_(_MODE_WORDS[self.mode])}"

    def action_next_mode(self) -> None:
        """Soft or hard."""
        self.mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]
        self.show_words()
