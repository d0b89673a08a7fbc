"""A line of text that does something when it is clicked."""

from __future__ import annotations

from textual import events

from tui.laid import Laid
from tui.shown import shown


class Link(Laid):
    """`action` is one of the screen's, with its arguments, such as `select(1)`."""

    DEFAULT_CSS = """
    Link {
        height: auto;
    }
    Link:hover {
        background: $boost;
    }
    """

    def __init__(self, text: str, action: str, *, classes: str = "") -> None:
        super().__init__(shown(text), markup=False, classes=classes)
        self._action = action

    def say(self, text: str) -> None:
        """Show another text."""
        self.update(shown(text))

    async def on_click(self, event: events.Click) -> None:
        """Do it."""
        event.stop()
        await self.app.run_action(self._action, default_namespace=self.screen)
