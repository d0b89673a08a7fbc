"""What a conversation's screen knows of choices: what was chosen, and where commands and keys are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.reactive import reactive
from textual.screen import Screen

from tui.choosing.choices import Choices
from tui.widgets.completions import Completions
from tui.widgets.status import StatusLine

if TYPE_CHECKING:
    from tui.app import ChatApp


class ChosenScreen(Screen[None]):
    """`choices` count from the next message on."""

    app: ChatApp
    choices: reactive[Choices] = reactive(Choices())

    def watch_choices(self, choices: Choices) -> None:
        """Show what answers are locked to."""
        if self.is_mounted:
            self.query_one(StatusLine).locked_to = "" if choices.lock is None else choices.lock.language

    def on_prompt_asked(self) -> None:
        """Show the keys."""
        self.app.action_show_keys()

    def offer_completions(self) -> None:
        """Offer what the line could become, from what is known now."""
        self.query_one(Completions).look_again()
