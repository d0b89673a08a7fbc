"""A message that can be selected: what was said, or an answer."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from tui.history.records import Entry
from tui.keymap import action_of
from tui.words import mark

Wish = Literal["edit", "again", "copy", "copy_code", "previous", "next"]


class Turn(Widget):
    """Its keys work while it is selected. `entry` is the message as it is remembered, once it is.

    Only a selected one takes the focus, so Tab goes to what asks. All else that is typed is told as `Typed`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "wish('edit')", mark("Edit"), id="edit"),
        Binding("r", "wish('again')", mark("Answer again"), id="again"),
        Binding("y", "wish('copy')", mark("Copy"), id="copy-message"),
        Binding("c", "wish('copy_code')", mark("Copy code"), id="copy-code"),
        Binding("left", "wish('previous')", mark("Branches"), key_display="← →", id="branch-back"),
        Binding("right", "wish('next')", show=False, id="branch-on", tooltip=mark("Branches")),
    ]

    class Wished(Message):
        """Something is to be done with a message."""

        def __init__(self, turn: Turn, wish: Wish) -> None:
            super().__init__()
            self.turn = turn
            self.wish = wish

    class Typed(Message):
        """Somebody typed what is no key of a message."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    entry: Entry | None = None

    def select(self) -> None:
        """Take the keys."""
        self.can_focus = True
        self.focus()

    def on_blur(self) -> None:
        """Give them back."""
        self.can_focus = False

    def on_click(self, event: events.Click) -> None:
        """A double click, which marks the text, also selects."""
        if event.chain == 2 and self.entry is not None:
            self.select()

    def on_key(self, event: events.Key) -> None:
        """Pass on what is typed and none of the keys."""
        is_typed = event.character is not None and event.is_printable and action_of(self, event.key) is None
        if self.has_focus and event.character is not None and is_typed:
            event.stop()
            self.post_message(self.Typed(event.character))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key means something for this message."""
        if action != "wish":
            return True
        if self.entry is None:
            return False
        match parameters:
            case ("edit",):
                return self.entry.role == "user"
            case ("previous" | "next",):
                return len(self.entry.siblings) > 1
            case ("copy_code",):
                return "```" in self.entry.text
            case _:
                return True

    def action_wish(self, wish: Wish) -> None:
        """Say what is wished."""
        self.post_message(self.Wished(self, wish))
