"""Where a person writes: several lines, sent with Enter, and what was said before at the arrow keys."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from tui.attaching import Attachment
from tui.bidi import displayed
from tui.keymap import action_of
from tui.shown import shown
from tui.terminal import terminal_of
from tui.widgets.completions import Completion, Completions
from tui.widgets.editor import Editor
from tui.words import _, mark

# As keyboards of Latin, Arabic and Chinese letters have it.
_QUESTION_MARKS = ("?", "؟", "？")  # that is what is meant


class Prompt(Editor):
    """Enter sends what stands here; Shift+Enter and Ctrl+J begin a line. The arrow keys bring back what was said.

    Terminals without kitty's keyboard protocol send the same for Shift+Enter as for Enter; Ctrl+J works everywhere.
    While `completions` offers something, the arrow keys choose, and Tab and Enter take it. `attached` are the files
    that go along with what is sent next, and `unsaid` is what was sent, until whoever takes it empties that.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", show=False, id="send", tooltip=mark("send what is written")),
        Binding("shift+enter,ctrl+j", "new_line", show=False, id="new-line", tooltip=mark("begin a line")),
        Binding("tab", "complete", show=False, id="complete", tooltip=mark("take what is offered")),
    ]

    class Submitted(Message):
        """What was written is to be said; the prompt is empty again."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Attached(Message):
        """Other files than before go along with what is sent next."""

    class Asked(Message):
        """A question mark was typed into an empty prompt: somebody wants to know the keys."""

    def __init__(self, completions: Completions) -> None:
        super().__init__()
        self._completions = completions
        self._said: list[str] = []
        # What is shown of it; at its end it is the draft, which waits while the person looks back.
        self._at = 0
        self._draft = ""
        self.attached: tuple[Attachment, ...] = ()
        self.unsaid = ""

    def attach(self, *attachments: Attachment) -> None:
        """Have these files, and no others, go along with the next message."""
        if attachments == self.attached:
            return
        self.attached = attachments
        names = " · ".join(f"+ {shown(each.name)}" for each in self.attached)
        self.border_title = Content(displayed(names) if terminal_of(self).lays_out else names)
        self.post_message(self.Attached())

    def on_mount(self) -> None:
        """Invite."""
        self.show_words()

    def show_words(self) -> None:
        """Say what is to be done here, as long as it is empty."""
        text = _("Say something, in any language")
        self.placeholder = displayed(text) if terminal_of(self).lays_out else text

    def close(self) -> None:
        """Take nothing any more."""
        self.placeholder = ""
        self.disabled = True

    async def _on_key(self, event: events.Key) -> None:
        # As bindings with priority they would overtake letters that came in the same piece of input.
        match action_of(self, event.key):
            case "send":
                self.action_send()
            case "complete" if self._offered() is not None:
                self.action_complete()
            case _ if event.character in _QUESTION_MARKS and not self.text:
                self.post_message(self.Asked())
            case _:
                return
        event.stop()
        event.prevent_default()

    def on_text_area_changed(self) -> None:
        """Offer what a command that is begun could become."""
        self._completions.look(self.value)

    def _offered(self) -> Completion | None:
        """The completion of just what stands here now."""
        self._completions.look(self.value)
        return self._completions.chosen

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tab goes on to the next widget where nothing is offered."""
        if action == "complete":
            return self._offered() is not None
        return super().check_action(action, parameters)

    def action_complete(self) -> None:
        """Take what is offered."""
        if (chosen := self._offered()) is not None:
            self.value = chosen.line

    def action_send(self) -> None:
        """Send, and remember; or complete what is only begun."""
        text = self.value
        offered = self._offered()
        if offered is not None and offered.line.strip() != text.strip():
            self.action_complete()
            return
        self.value = ""
        if text.strip():
            if self._said[-1:] != [text]:
                self._said.append(text)
            self._at = len(self._said)
            if self.attached and not text.startswith("/"):
                text = "\n\n".join([*(each.fenced for each in self.attached), text])
                self.unsaid = text
                self.attach()
            self.unsaid = text
            self.post_message(self.Submitted(text))

    def action_new_line(self) -> None:
        """Begin a line."""
        self.insert_text_at_cursor("\n")

    def action_cursor_up(self, select: bool = False) -> None:
        """A row up or, from the first one, to what was said before."""
        if self._completions.chosen is not None:
            self._completions.move(-1)
        elif select or not self.navigator.is_first_wrapped_line(self.cursor_location) or not self._show(self._at - 1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """A row down or, from the last one, to what was said next."""
        if self._completions.chosen is not None:
            self._completions.move(1)
        elif select or not self.navigator.is_last_wrapped_line(self.cursor_location) or not self._show(self._at + 1):
            super().action_cursor_down(select)

    def _show(self, at: int) -> bool:
        if not 0 <= at <= len(self._said):
            return False
        if self._at == len(self._said):
            self._draft = self.value
        self._at = at
        self.value = self._draft if at == len(self._said) else self._said[at]
        return True
