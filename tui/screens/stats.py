"""What each answer of the conversation took, and the times between the pieces of the selected one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import DataTable, Sparkline

from tui.bidi import displayed
from tui.history.records import Figures
from tui.keynames import with_keys
from tui.laid import Laid
from tui.stats import HEADS, rows
from tui.terminal import terminal_of
from tui.words import _


class StatsScreen(ModalScreen[None]):
    """Shows these figures, oldest answer first; the latest one is selected."""

    DEFAULT_CSS = """
    StatsScreen {
        background: $background;
        padding: 0 1;
    }
    StatsScreen DataTable {
        height: auto;
        max-height: 1fr;
        background: transparent;
    }
    StatsScreen Laid {
        height: auto;
        color: $text-muted;
    }
    StatsScreen Sparkline {
        height: 4;
        width: 100%;
        margin: 1 0;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", show=False, priority=True, id="leave")]

    def __init__(self, answers: Sequence[Figures]) -> None:
        super().__init__()
        self._answers = answers

    def compose(self) -> ComposeResult:
        """The table, what the plot is of, the plot, the keys."""
        yield DataTable[str](cursor_type="row")
        yield Laid(id="caption", markup=False)
        yield Sparkline([], summary_function=max)
        yield Laid(id="keys", markup=False)

    def on_mount(self) -> None:
        """Fill the table."""
        self.show_words()
        self.query_one(DataTable).focus()

    def show_words(self) -> None:
        """Show the texts in the language that is used."""
        lays_out = terminal_of(self).lays_out
        table = self.query_one(DataTable)
        table.clear(columns=True)
        table.add_columns(*(displayed(_(head)) if lays_out else _(head) for head in HEADS))
        table.add_rows(rows(self._answers))
        table.move_cursor(row=len(self._answers) - 1)
        self.query_one("#keys", Laid).update(with_keys(_("Up and down choose an answer · {leave} goes back")))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Plot the selected answer."""
        took = self._answers[event.cursor_row]
        longest = max(took.gaps_ms, default=0)
        caption = _("Time between the pieces of answer {number}; the highest bar is {longest} ms")
        self.query_one("#caption", Laid).update(caption.format(number=event.cursor_row + 1, longest=longest))
        self.query_one(Sparkline).data = list(took.gaps_ms)

    def action_leave(self) -> None:
        """Go back to the conversation."""
        self.dismiss(None)
