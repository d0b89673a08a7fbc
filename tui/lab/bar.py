"""The head of the lab: how it asks, and what there is to click."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tui.lab.lab import ORDER_WORDS, Lab
from tui.lab.link import Link
from tui.words import _, mark

_LINKS = (
    ("+ {text}", mark("column"), "add"),
    ("{text}", mark("sampling"), "sampling"),
    ("{text}", mark("save"), "save"),
    ("{text}", mark("leave"), "leave"),
)


class Bar(Vertical):
    """Says in which order `lab` asks, which a click changes, and has its other actions for the mouse."""

    DEFAULT_CSS = """
    Bar {
        height: auto;
        padding: 0 1;
        background: $surface;
    }
    Bar Horizontal {
        height: 1;
    }
    Bar .order {
        text-style: bold;
    }
    Bar Horizontal Link {
        width: auto;
        margin: 0 3 0 0;
        color: $text-accent;
    }
    """

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self._lab = lab

    def compose(self) -> ComposeResult:
        """Two lines."""
        yield Link("", "command('order')", classes="order")
        with Horizontal():
            for _form, _text, action in _LINKS:
                yield Link("", f"command('{action}')")

    def on_mount(self) -> None:
        """Show the texts."""
        self.show_words()

    def show_words(self) -> None:
        """Show them anew, in the language that is used."""
        order = _(ORDER_WORDS[self._lab.order])
        self.query_one(".order", Link).say(_("Language lab: {order}").format(order=order))
        for link, (form, text, _action) in zip(self.query("Horizontal Link").results(Link), _LINKS, strict=True):
            link.say(form.format(text=_(text)))
