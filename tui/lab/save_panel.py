"""Where a card is to be written, and whether over one that is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from textual.app import ComposeResult
from textual.widgets import TextArea

from runtime.errors import DemoticError
from tui.lab.card import Card, CardExists
from tui.lab.saving import save
from tui.screens.panel import Panel
from tui.widgets.field import Field
from tui.words import _, mark


class SavePanel(Panel[tuple[Path, Path]]):
    """Writes the card and gives the paths of its two files. A second Enter writes over what is there."""

    title_text = mark("Save the card as Markdown and JSON")
    hint_text = mark("Enter writes · {leave} leaves")

    def __init__(self, card: Card, path: Path) -> None:
        super().__init__()
        self._card = card
        self._path = path
        self._refused = ""

    def compose_body(self) -> ComposeResult:
        """The path."""
        yield Field(str(self._path), hint=mark("FILE"))

    def on_mount(self) -> None:
        """Begin at the path's end."""
        super().on_mount()
        self.query_one(Field).focus()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Another path is another question."""
        event.stop()
        if self.query_one(Field).value.strip() != self._refused:
            self._refused = ""
            self.refuse("")

    async def on_field_submitted(self) -> None:
        """Write it, unless one is there that nobody has said may go."""
        typed = self.query_one(Field).value.strip()
        if not typed:
            return
        try:
            path = Path(typed).expanduser()
            files = await asyncio.to_thread(save, self._card, path, overwrite=typed == self._refused)
        except CardExists as fault:
            self._refused = typed
            self.refuse(f"{fault} " + _("Enter once more writes over it."))
        except DemoticError as fault:
            self.refuse(str(fault))
        else:
            self.dismiss(files)
