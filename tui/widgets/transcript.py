"""The conversation so far, oldest entry first, scrolled to its end unless the person has scrolled up."""

from __future__ import annotations

from textual.containers import VerticalScroll
from textual.widget import Widget

from tui.widgets.message import Fault, Notice, Said


class Transcript(VerticalScroll, can_focus=False):
    """Holds the entries; an answer stands below its question, above what waits to be said."""

    def on_mount(self) -> None:
        """Follow the end."""
        self.anchor()

    async def say(self, text: str) -> Said:
        """Add what the person said; it looks as if it waits until it is answered."""
        said = Said(text)
        said.add_class("waiting")
        await self.mount(said)
        return said

    async def add(self, entry: Widget, *, after: Widget) -> None:
        """Add a part of an answer."""
        await self.mount(entry, after=after)

    async def tell(self, text: str) -> None:
        """Add a notice above what waits."""
        await self.mount(Notice(text), before=self._first_waiting())

    async def fail(self, text: str) -> None:
        """Add a fault above what waits."""
        await self.mount(Fault(text), before=self._first_waiting())

    def _first_waiting(self) -> Widget | None:
        return next((child for child in self.children if child.has_class("waiting")), None)
