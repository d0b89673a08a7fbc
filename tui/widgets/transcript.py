"""The conversation so far, oldest entry first, scrolled to its end unless the person has scrolled up."""

from __future__ import annotations

from collections.abc import Sequence

from textual.containers import VerticalScroll
from textual.widget import Widget

from tui.history.records import Entry
from tui.widgets.entries import widgets_of
from tui.widgets.message import Fault, Notice, Place, Said
from tui.widgets.placed import Placing
from tui.widgets.turn import Turn


class Transcript(Placing, VerticalScroll, can_focus=False):
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

    async def show(self, entries: Sequence[Entry]) -> list[Said]:
        """Show these instead of all that is here; what the person said of them."""
        await self.remove_children()
        widgets = list(widgets_of(entries))
        await self.mount_all(widgets)
        self.anchor()
        return [widget for widget in widgets if isinstance(widget, Said)]

    async def know(self, turn: Turn, entry: Entry) -> None:
        """A message is remembered as `entry`; where there are others beside it, say which one it is."""
        turn.entry = entry
        if len(entry.siblings) > 1:
            await self.mount(Place(*entry.position), after=turn)

    def beside(self, turn: Turn | None, step: int) -> Turn | None:
        """The message before (-1) or after (1) one, or the last one of all; None where there is none."""
        turns = [child for child in self.children if isinstance(child, Turn) and child.entry is not None]
        at = turns.index(turn) + step if turn in turns else len(turns) - 1
        return turns[at] if 0 <= at < len(turns) else None

    def turn_of(self, message: int) -> Turn | None:
        """What shows a message; None where that is not on the screen."""
        turns = [child for child in self.children if isinstance(child, Turn)]
        return next((turn for turn in turns if turn.entry is not None and turn.entry.id == message), None)

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
