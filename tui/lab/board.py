"""The columns of a lab on the screen: side by side where they have room, else one at a time, behind tabs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.css.query import NoMatches
from textual.widget import MountError

from runtime.chat.reasoning import Piece
from tui.lab.lab import Lab
from tui.lab.link import Link
from tui.lab.trial import Trial
from tui.lab.view import ColumnView

# Narrower columns are shown one at a time.
_LEAST_WIDTH = 34
# What follows the name of a column on its tab.
_SIGNS = {"waiting": "…", "loading": "…", "answering": "▸", "complete": "✓", "stopped": "■", "failed": "✗"}


class Board(Vertical):
    """Shows the columns of `lab`; `selected` is the place of the one that keys and commands are for.

    `is_there` is set once the columns can be used.
    """

    DEFAULT_CSS = """
    Board {
        height: 1fr;
    }
    Board #tabs {
        height: 1;
        padding: 0 1;
    }
    Board #tabs Link {
        width: auto;
        max-width: 30;
        margin: 0 2 0 0;
        color: $text-muted;
    }
    Board #tabs Link.selected {
        color: $text;
        text-style: bold underline;
    }
    Board #columns {
        height: 1fr;
    }
    """

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self._lab = lab
        self._with_adapters: frozenset[str] = frozenset()
        self.selected = 0
        self.is_there = asyncio.Event()

    def compose(self) -> ComposeResult:
        """Tabs, and the columns."""
        yield Horizontal(id="tabs")
        yield Horizontal(id="columns")

    async def on_mount(self) -> None:
        """Show the columns."""
        await self.show_columns()
        self.is_there.set()
        self._arrange()

    def on_resize(self, _event: events.Resize) -> None:
        """Side by side, or one at a time."""
        self._arrange()

    @property
    def views(self) -> Sequence[ColumnView]:
        """The columns, from left to right."""
        return [*self.query(ColumnView)]

    async def show_columns(self) -> None:
        """Show all columns anew: there are more or fewer."""
        self.selected = min(self.selected, len(self._lab.columns) - 1)
        tabs, columns = self.query_one("#tabs"), self.query_one("#columns")
        await tabs.remove_children()
        await columns.remove_children()
        pairs = list(enumerate(zip(self._lab.columns, self._lab.trials, strict=True)))
        await tabs.mount_all(Link("", f"show({at})") for at, _pair in pairs)
        await columns.mount_all(ColumnView(at, column, trial) for at, (column, trial) in pairs)
        self.know_adapters(self._with_adapters)
        self._arrange()

    def show_column(self, at: int) -> None:
        """A column asks otherwise."""
        self.views[at].ask(self._lab.columns[at])
        self.know_adapters(self._with_adapters)
        self._arrange()

    def know_adapters(self, models: frozenset[str]) -> None:
        """Only columns of these models have adapters to choose from."""
        self._with_adapters = models
        for view in self.views:
            view.offer_adapters(models)

    def select(self, at: int) -> None:
        """Give the keys to another column."""
        self.selected = at % len(self._lab.columns)
        self._arrange()

    async def begin(self, trials: Sequence[Trial]) -> None:
        """Other answers are asked for."""
        for view, trial in zip(self.views, trials, strict=True):
            await view.begin(trial)
        self._arrange()

    async def follow(self, trial: Trial) -> None:
        """An answer is in another state."""
        view = self._view_of(trial)
        if view is not None:
            with suppress(MountError, NoMatches):  # the lab was left meanwhile
                await view.follow(trial)
                self._arrange()

    async def write(self, trial: Trial, piece: Piece) -> None:
        """Show what comes next of an answer."""
        view = self._view_of(trial)
        if view is not None:
            with suppress(MountError, NoMatches):
                await view.write(piece)

    def scroll_page(self, step: int) -> None:
        """Scroll the selected column."""
        body = self.views[self.selected].body
        if step < 0:
            body.scroll_page_up()
        else:
            body.scroll_page_down()

    def _view_of(self, trial: Trial) -> ColumnView | None:
        return next((view for view in self.views if view.trial is trial), None)

    def _arrange(self) -> None:
        if not self.is_there.is_set():
            return
        views = self.views
        is_narrow = self.size.width < len(views) * _LEAST_WIDTH
        tabs = self.query_one("#tabs")
        tabs.display = is_narrow
        for at, (view, tab) in enumerate(zip(views, tabs.query(Link), strict=False)):
            is_selected = at == self.selected
            view.display = is_selected or not is_narrow
            view.set_class(is_selected, "selected")
            tab.set_class(is_selected, "selected")
            sign = f" {_SIGNS[view.trial.state]}" if view.trial is not None else ""
            tab.say(f"{at + 1} {view.column.model}{sign}")
