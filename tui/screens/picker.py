"""A list to choose from, that is searched as one types, in any script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, TextArea
from textual.widgets.option_list import Option

from tui.history.folding import fold
from tui.laid import Paragraph
from tui.screens.panel import Panel
from tui.shown import shown
from tui.terminal import terminal_of
from tui.widgets.field import Field
from tui.words import mark

Value = TypeVar("Value")


@dataclass(frozen=True)
class Row(Generic[Value]):
    """A choice: `text` in bold, `detail` below it; `searched` is folded, and what a search looks through."""

    value: Value
    text: str
    detail: str = ""
    searched: str = ""


class Picker(Panel[Value], Generic[Value]):
    """Its rows are `rows()`, those that have all words of what is typed; `made_of` what is typed may be more."""

    DEFAULT_CSS = """
    Picker OptionList {
        height: auto;
        max-height: 16;
        border: none;
        background: transparent;
        padding: 0;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("pageup", "move(-5)", show=False, priority=True),
        Binding("pagedown", "move(5)", show=False, priority=True),
    ]
    hint_text = mark("Type to search · ↑ ↓ Enter choose · {leave} leaves")
    search_hint: ClassVar[str] = mark("Search")

    def __init__(self, begun: str = "") -> None:
        super().__init__()
        self._begun = begun
        self.found: list[Row[Value]] = []

    def compose_body(self) -> ComposeResult:
        """Where the search is typed, and what it finds."""
        yield Field(self._begun, hint=self.search_hint)
        yield OptionList(markup=False)

    def on_mount(self) -> None:
        """Show all rows."""
        super().on_mount()
        self.query_one(Field).focus()
        self.query_one(OptionList).can_focus = False
        self.show_rows()

    async def load(self) -> None:
        """Find what there is to choose, where that takes a while. Raises `DemoticError` where it cannot be found."""

    def rows(self) -> Iterable[Row[Value]]:
        """All that there is to choose."""
        return ()

    def made_of(self, typed: str) -> Iterable[Row[Value]]:
        """More that what is typed could mean."""
        del typed
        return ()

    async def choose(self, value: Value) -> None:
        """A row was chosen."""
        self.dismiss(value)

    def show_rows(self) -> None:
        """Show the rows that are searched for."""
        self.found = self.searched(self.query_one(Field).value)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(self._content(row)) for row in self.found])
        options.highlighted = 0 if self.found else None

    def searched(self, typed: str) -> list[Row[Value]]:
        """The rows that have all words of what is typed, and what else that could mean."""
        words = fold(typed).split()
        found = [row for row in self.rows() if all(word in (row.searched or fold(row.text)) for word in words)]
        return [*found, *self.made_of(typed.strip())]

    def show_words(self) -> None:
        """Show the rows in the language that is used, too."""
        super().show_words()
        if self.query(Field):
            self.show_rows()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Search for what is typed."""
        event.stop()
        self.refuse("")
        self.show_rows()

    async def on_field_submitted(self) -> None:
        """Choose the row that is marked."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            await self.choose(self.found[at].value)

    async def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose by the mouse."""
        event.stop()
        await self.choose(self.found[event.option_index].value)

    def on_click(self, event: events.Click) -> None:
        """A click beside the panel leaves it."""
        if event.widget is self:
            self.action_leave()

    def action_move(self, step: int) -> None:
        """Mark another row."""
        options = self.query_one(OptionList)
        if self.found:
            options.highlighted = max(0, min((options.highlighted or 0) + step, len(self.found) - 1))

    def _content(self, row: Row[Value]) -> Content:
        lines: Sequence[tuple[str, str]] = [(shown(row.text), "bold")]
        if row.detail:
            lines = [*lines, ("\n" + shown(row.detail), "$text-muted")]
        return Paragraph(Content.assemble(*lines), terminal_of(self))
