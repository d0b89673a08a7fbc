"""The status line: which model, what it does, and how fast the last answer was."""

from __future__ import annotations

from typing import Literal

from textual.reactive import reactive

from tui.laid import Laid
from tui.words import _, mark

State = Literal["loading", "ready", "answering", "asking", "failed"]

_WORDS: dict[State, str] = {
    "loading": mark("loading …"),
    "ready": mark("ready"),
    "answering": mark("answering … (Esc stops)"),
    "asking": mark("may the tool run? (Esc stops)"),
    "failed": mark("not started"),
}


class StatusLine(Laid):
    """Shows the conversation's state, which is bound to it."""

    model_name = reactive("")
    state: reactive[State] = reactive[State]("loading")
    figures = reactive("")

    def __init__(self) -> None:
        super().__init__(markup=False)

    def watch_model_name(self) -> None:
        """Show the name."""
        self.show_words()

    def watch_state(self) -> None:
        """Show the state."""
        self.show_words()

    def watch_figures(self) -> None:
        """Show the last answer's figures."""
        self.show_words()

    def show_words(self) -> None:
        """Show it all anew, in the language that is used."""
        parts = [self.model_name or _("default model"), _(_WORDS[self.state]), self.figures]
        self.update(" · ".join(part for part in parts if part))
