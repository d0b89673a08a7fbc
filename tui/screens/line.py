"""A panel with a line to write: a conversation's title, the file of an export."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.screens.panel import Panel
from tui.widgets.field import Field
from tui.words import mark


class LinePanel(Panel[str]):
    """Gives what is written, which `value` is at first; nothing is not taken."""

    hint_text = mark("Enter keeps it · {leave} leaves it as it was")

    def __init__(self, value: str) -> None:
        super().__init__()
        self._value = value

    def compose_body(self) -> ComposeResult:
        """The line."""
        yield Field(self._value)

    def on_mount(self) -> None:
        """Write there."""
        super().on_mount()
        self.query_one(Field).focus()

    def on_field_submitted(self) -> None:
        """Give what is written."""
        if written := self.query_one(Field).value.strip():
            self.dismiss(written)


class TitlePanel(LinePanel):
    """Gives a title."""

    title_text = mark("Another title")


class ExportPanel(LinePanel):
    """Gives the name of a file, whose ending says what is written."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_format", show=False, priority=True, id="format", tooltip=mark("Markdown or JSON")),
    ]
    title_text = mark("Write the conversation to a file")
    hint_text = mark("Enter writes · {format} Markdown or JSON · {leave} leaves")

    def action_next_format(self) -> None:
        """Markdown or JSON."""
        field = self.query_one(Field)
        path = Path(field.value)
        if path.name:
            field.value = str(path.with_suffix(".md" if path.suffix == ".json" else ".json"))
