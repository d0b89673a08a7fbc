"""The language lab: one prompt to two to four columns, side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.worker import WorkerCancelled

from runtime.errors import DemoticError, InvalidRequest
from tui.commands import registry
from tui.commands.palette import Palette
from tui.events import Endpoint
from tui.keynames import with_keys
from tui.lab import commands
from tui.lab.bar import Bar
from tui.lab.board import Board
from tui.lab.choosing import served
from tui.lab.column import Choice
from tui.lab.keys import LAB_KEYS
from tui.lab.lab import Lab
from tui.lab.trial import Trial
from tui.laid import Laid
from tui.shown import shown
from tui.widgets.completions import Completions
from tui.widgets.keys import Keys
from tui.widgets.prompt import Prompt
from tui.words import _

if TYPE_CHECKING:
    from tui.app import ChatApp

_RUN = "run"


class LabScreen(Screen[None]):
    """Shows `lab`, which outlives it; keys and commands are for the selected column."""

    app: ChatApp
    DEFAULT_CSS = """
    LabScreen {
        background: $background;
    }
    LabScreen #told {
        height: auto;
        max-height: 12;
        padding: 0 1;
        color: $text-muted;
    }
    LabScreen #told.fault {
        color: $text-error;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*LAB_KEYS]

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab

    def compose(self) -> ComposeResult:
        """What there is to do, the columns, what is told, where the prompt is written."""
        yield Bar(self.lab)
        yield Board(self.lab)
        yield Laid(id="told", markup=False)
        completions = Completions(commands.completions)
        yield completions
        yield Prompt(completions)
        yield Keys()

    def on_mount(self) -> None:
        """Begin at the prompt."""
        self.tell(self.lab.prompt or _("One prompt for all columns. /help tells all commands."))
        self.query_one(Prompt).focus()
        self.look_for_adapters()

    @property
    def board(self) -> Board:
        """The columns."""
        return self.query_one(Board)

    def tell(self, text: str, *, is_fault: bool = False) -> None:
        """Say something above the prompt, instead of what was said before."""
        line = self.query_one("#told", Laid)
        line.set_class(is_fault, "fault")
        line.update(shown(text))

    def on_prompt_asked(self) -> None:
        """Show the keys."""
        self.app.action_show_keys()

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """Ask all columns, or do what is commanded."""
        called = registry.called(event.text)
        if called is None:
            self._do(partial(self.ask, registry.said(event.text)))
            return
        name, argument = called
        command = commands.LAB.get(name)
        if command is None:
            self.query_one(Prompt).value = event.text
            self.tell(registry.unknown(name, commands.LAB), is_fault=True)
        else:
            self._do(partial(command.action, self, argument))

    async def ask(self, prompt: str) -> None:
        """Have all columns answer.

        Raises:
            InvalidRequest: an answer is coming still.
            DemoticError: a model does not start.
        """
        self.require_idle()
        self.tell(prompt)
        if self.app.can_switch:
            # The conversation may have gone on to another model meanwhile.
            for model in {column.model for column in self.lab.columns}:
                await served(self.app, model)
        endpoint = self.endpoint()
        await self.board.begin(self.lab.ask(prompt))
        self._run(endpoint)

    async def leave(self) -> None:
        """Stop the answers, and go back to the conversation."""
        await self.stop_all()
        self.dismiss(None)

    async def _stop(self, trial: Trial) -> None:
        await self.lab.stop(trial)
        await self.board.follow(trial)

    async def stop_all(self) -> None:
        """Stop the answers."""
        for worker in self.workers.cancel_group(self, _RUN):
            with suppress(WorkerCancelled):
                await worker.wait()

    def action_stop(self) -> None:
        """Put the completions away; stop the selected column's answer, or all; leave."""
        completions = self.query_one(Completions)
        trial = self.lab.trials[self.board.selected]
        if completions.chosen is not None:
            completions.close()
        elif not self.lab.is_running:
            self.dismiss(None)
        elif trial is not None and not trial.is_over:
            self._do(partial(self._stop, trial))
        else:
            self._do(self.stop_all)

    def action_command(self, name: str) -> None:
        """Do what a command does."""
        self._do(partial(commands.LAB[name].action, self, ""))

    def action_choose(self, choice: Choice, at: int) -> None:
        """Have a column ask otherwise."""
        self.board.select(at)
        self.action_command(choice)

    def action_remove(self, at: int) -> None:
        """Take a column away."""
        self.board.select(at)
        self.action_command("remove")

    def action_palette(self) -> None:
        """Find a command."""
        self._do(self._choose_command)

    def action_show(self, at: int) -> None:
        """Select a column."""
        self.board.select(at)

    def action_select(self, step: int) -> None:
        """Select the column before or after the selected one."""
        self.board.select(self.board.selected + step)

    def action_scroll(self, step: int) -> None:
        """Scroll the selected column."""
        self.board.scroll_page(step)

    def require_idle(self) -> None:
        """Raise `InvalidRequest` where an answer is coming."""
        if self.lab.is_running:
            raise InvalidRequest(_("The columns are answering."), remedy=with_keys(_("{lab-stop} stops an answer.")))

    def endpoint(self) -> Endpoint:
        """What answers.

        Raises:
            InvalidRequest: it is not there yet.
        """
        if self.app.endpoint is None:
            raise InvalidRequest(_("The model is not there yet: wait until it is ready."))
        return self.app.endpoint

    @work(group=_RUN, exclusive=True)
    async def _run(self, endpoint: Endpoint) -> None:
        await self.lab.run(endpoint, self.board.follow, self.board.write)

    async def _choose_command(self) -> None:
        name = await self.app.push_screen_wait(Palette(commands.LAB.values()))
        if name is not None:
            self.action_command(name)

    @work(group="look", exclusive=True)
    async def look_for_adapters(self) -> None:
        """Find out which models have adapters to choose from."""
        client = self.app.client
        if client is None:
            return
        with suppress(DemoticError):  # it is told where an answer meets it
            models = await client.models()
            await self.board.is_there.wait()
            self.board.know_adapters(
                frozenset(model.id for model in models if model.demotic is not None and model.demotic.adapters)
            )

    @work(group="command")
    async def _do(self, action: Callable[[], Awaitable[None]]) -> None:
        await self.board.is_there.wait()
        try:
            await action()
        except DemoticError as fault:
            self.tell(str(fault), is_fault=True)
