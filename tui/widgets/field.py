"""A line to write in, for every script: an editor of one row."""

from __future__ import annotations

from textual import events
from textual.message import Message

from tui.bidi import displayed
from tui.terminal import terminal_of
from tui.widgets.editor import Editor
from tui.words import _


class Field(Editor):
    """Enter says that it is done. `hint` is an English text for the catalogues, shown while the field is empty."""

    DEFAULT_CSS = """
    Field {
        height: 1;
        border: none;
        padding: 0 1;
        background: $surface;
    }
    """

    class Submitted(Message):
        """Enter was pressed."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

    def __init__(self, value: str = "", *, hint: str = "", id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id, soft_wrap=False, tab_behavior="focus", compact=True)
        self._hint = hint
        self._first_value = value

    def on_mount(self) -> None:
        """Show what is there."""
        self.show_words()
        if self._first_value:
            self.value = self._first_value

    def show_words(self) -> None:
        """Show the hint in the language that is used."""
        text = _(self._hint) if self._hint else ""
        self.placeholder = displayed(text) if terminal_of(self).lays_out else text

    def insert_text_at_cursor(self, text: str) -> None:
        """A pasted text of several lines becomes one."""
        super().insert_text_at_cursor(" ".join(text.split("\n")))

    async def _on_key(self, event: events.Key) -> None:
        # As a binding with priority it would overtake letters that came in the same piece of input.
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Submitted(self))
