"""The line of keys at the foot, in the person's language."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

from tui.bidi import displayed
from tui.terminal import terminal_of
from tui.words import _


class Keys(Footer):
    """Textual's line of keys; bindings carry English texts, which are looked up here."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)

    def compose(self) -> ComposeResult:
        """Each key with its text as it is shown."""
        for key in super().compose():
            if isinstance(key, FooterKey):
                text = _(key.description)
                key.description = displayed(text) if terminal_of(self).lays_out else text
                key.tooltip = None
            yield key

    def show_words(self) -> None:
        """Show the texts anew."""
        self.refresh(recompose=True)
