"""The conversation's screen as it is read: what it is made of, the way through its messages, what is told in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from textual.screen import Screen

from tui.screens.picker import Picker
from tui.widgets.completions import Completions
from tui.widgets.prompt import Prompt
from tui.widgets.status import StatusLine
from tui.widgets.transcript import Transcript
from tui.widgets.turn import Turn

if TYPE_CHECKING:
    from tui.app import ChatApp

Value = TypeVar("Value")


class ReadingScreen(Screen[None]):
    """What commands of both chats ask for is here too (`tui/commands/host.py`)."""

    app: ChatApp

    @property
    def transcript(self) -> Transcript:
        """What was said, and what is told."""
        return self.query_one(Transcript)

    @property
    def prompt(self) -> Prompt:
        """Where the next message is written."""
        return self.query_one(Prompt)

    @property
    def status(self) -> StatusLine:
        """What is seen of the model and of its last answer."""
        return self.query_one(StatusLine)

    async def pick(self, picker: Picker[Value]) -> Value | None:
        """Have the person choose."""
        return await self.app.push_screen_wait(picker)

    async def tell(self, text: str) -> None:
        """Show a notice."""
        await self.transcript.tell(text)

    def show_in(self, language: str) -> None:
        """Show the interface in another language."""
        self.app.show_in(language)

    async def quit(self) -> None:
        """Leave the chat."""
        await self.app.action_quit()

    def show_share(self, share: float) -> None:
        """Show how much of the model is loaded."""
        if self.is_attached:
            self.status.share = share

    def on_prompt_asked(self) -> None:
        """Show the keys."""
        self.app.action_show_keys()

    def offer_completions(self) -> None:
        """Offer what the line could become, from what is known now."""
        self.query_one(Completions).look_again()

    def action_select(self, step: int) -> None:
        """Select the message before or after the one that is selected; after the last one is the prompt."""
        selected = self.focused if isinstance(self.focused, Turn) else None
        turn = self.transcript.beside(selected, step) if selected is not None or step < 0 else None
        if turn is not None:
            turn.select()
        elif step > 0:
            self.prompt.focus()

    def action_scroll_up(self) -> None:
        """Scroll the conversation one page up."""
        self.transcript.scroll_page_up()

    def action_scroll_down(self) -> None:
        """Scroll the conversation one page down."""
        self.transcript.scroll_page_down()
