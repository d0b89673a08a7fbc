"""A column on the screen: what it asks, the answer as it comes, and its figures."""

from __future__ import annotations

from collections.abc import Collection

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll

from runtime.chat.reasoning import Piece
from tui.lab.column import Column
from tui.lab.link import Link
from tui.lab.told import adapter_line, language_line, lock_line, result_lines
from tui.lab.trial import Trial
from tui.laid import Laid
from tui.shown import shown
from tui.widgets.answer import Answer
from tui.widgets.message import Fault, Reasoning
from tui.widgets.placed import Placing


class Body(Placing, VerticalScroll, can_focus=False):
    """Holds the answer."""


class ColumnView(Vertical):
    """The column `at` this place, and its answer, if there is one."""

    DEFAULT_CSS = """
    ColumnView {
        width: 1fr;
        height: 1fr;
        padding: 0 1;
        border-left: outer $panel;
    }
    ColumnView.selected {
        border-left: outer $accent;
    }
    ColumnView Horizontal {
        height: auto;
    }
    ColumnView .model {
        width: 1fr;
        text-style: bold;
    }
    ColumnView .remove {
        width: 2;
        text-align: right;
    }
    ColumnView .choice, ColumnView .result {
        color: $text-muted;
    }
    ColumnView .result {
        height: auto;
        max-height: 6;
    }
    ColumnView Body {
        height: 1fr;
        margin: 1 0 0 0;
        scrollbar-size-vertical: 1;
    }
    """

    def __init__(self, at: int, column: Column, trial: Trial | None) -> None:
        super().__init__()
        self.at = at
        self.trial = trial
        self.column = column
        self._keeps_end = False
        self._answer: Answer | None = None
        self._reasoning: Reasoning | None = None

    def compose(self) -> ComposeResult:
        """What it asks, what comes, what that took."""
        at = self.at
        with Horizontal():
            yield Link("", f"choose('model', {at})", classes="model")
            yield Link("×", f"remove({at})", classes="remove")
        yield Link("", f"choose('adapter', {at})", classes="choice adapter")
        yield Link("", f"choose('language', {at})", classes="choice language")
        yield Link("", f"choose('lock', {at})", classes="choice lock")
        yield Body()
        yield Laid(classes="result", markup=False)

    async def on_mount(self) -> None:
        """Show what is there already."""
        self.watch(self.body, "virtual_size", self._keep_end, init=False)
        self.show_words()
        if self.trial is not None:
            for kind, text in (("reasoning", self.trial.reasoning), ("content", self.trial.text)):
                if text:
                    await self.write(Piece(kind, text))  # type: ignore[arg-type]  # mypy widens the literals
            await self.follow(self.trial)

    @property
    def body(self) -> Body:
        """Where the answer is."""
        return self.query_one(Body)

    def offer_adapters(self, models: Collection[str]) -> None:
        """Show that there are adapters to choose from, if the model is one of those that have some."""
        self.query_one(".adapter").display = self.column.model in models

    def ask(self, column: Column) -> None:
        """Show another choice."""
        self.column = column
        self.show_words()

    def show_words(self) -> None:
        """Show the texts in the language that is used."""
        column = self.column
        self.query_one(".model", Link).say(f"{self.at + 1} · {column.model}")
        self.query_one(".adapter", Link).say(adapter_line(column))
        self.query_one(".language", Link).say(language_line(column))
        self.query_one(".lock", Link).say(lock_line(column))
        lines = result_lines(self.trial) if self.trial is not None else []
        self.query_one(".result", Laid).update(shown("\n".join(lines)))

    async def begin(self, trial: Trial) -> None:
        """Another answer is asked for."""
        self.trial, self._answer, self._reasoning = trial, None, None
        self._keeps_end = False
        self.body.anchor(anchor=False)
        await self.body.remove_children()
        self.show_words()

    async def write(self, piece: Piece) -> None:
        """Show what comes next."""
        if piece.kind == "reasoning":
            if self._reasoning is None:
                self._reasoning = Reasoning()
                await self.body.mount(self._reasoning)
            self._reasoning.write(piece.text)
            return
        if self._answer is None:
            self._answer = Answer()
            await self.body.mount(self._answer)
        await self._answer.write(piece.text)

    async def follow(self, trial: Trial) -> None:
        """The answer is in another state."""
        if trial.is_over:
            if self._answer is not None:
                await self._answer.finish()
                self._answer = None
            if trial.fault and not self.body.query(Fault):
                await self.body.mount(Fault(trial.fault))
        self.show_words()

    def _keep_end(self) -> None:
        """From the top as long as it fits; then its end is followed, unless the person scrolls."""
        body = self.body
        if body.children and body.size.height and body.max_scroll_y and not self._keeps_end:
            self._keeps_end = True
            body.anchor()

    async def on_click(self) -> None:
        """Select it."""
        await self.app.run_action(f"show({self.at})", default_namespace=self.screen)
