"""The status line: which model, what it does, and how fast the last answer was."""

from __future__ import annotations

from typing import Literal

from textual.reactive import reactive
from textual.widgets import Static

State = Literal["loading", "ready", "answering", "asking", "failed"]

_WORDS: dict[State, str] = {
    "loading": "loading …",
    "ready": "ready",
    "answering": "answering … (Esc stops)",
    "asking": "may the tool run? (Esc stops)",
    "failed": "not started",
}


class StatusLine(Static):
    """Shows the application's state, which is bound to it."""

    model_name = reactive("")
    state: reactive[State] = reactive[State]("loading")
    figures = reactive("")

    def __init__(self) -> None:
        super().__init__(markup=False)

    def watch_model_name(self) -> None:
        """Show the name."""
        self._show()

    def watch_state(self) -> None:
        """Show the state."""
        self._show()

    def watch_figures(self) -> None:
        """Show the last answer's figures."""
        self._show()

    def _show(self) -> None:
        parts = [self.model_name or "default model", _WORDS[self.state], self.figures]
        self.update(" · ".join(part for part in parts if part))
