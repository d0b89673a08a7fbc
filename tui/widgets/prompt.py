"""The line at the bottom that a person types into."""

from __future__ import annotations

from textual import events
from textual.widgets import Input


class Prompt(Input):
    """An input line that keeps the whole of what is pasted, its line ends as spaces."""

    def __init__(self) -> None:
        # What was begun before a card took the focus goes on where it was.
        super().__init__(placeholder="Say something, in any language", select_on_focus=False)

    def close(self) -> None:
        """Take nothing any more."""
        self.placeholder = ""
        self.disabled = True

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.replace(" ".join(event.text.split()), *self.selection)
