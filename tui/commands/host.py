"""What commands do with the chat that they were given in: the conversation's screen, or the chat without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tui.commands.finding import Chooser

if TYPE_CHECKING:
    from tui.choosing.choices import Choices
    from tui.client import ChatClient
    from tui.keeper import Keeper
    from tui.talk import Talk


class Host(Chooser, Protocol):
    """Either of the two chats."""

    @property
    def keeper(self) -> Keeper:
        """What remembers."""

    @property
    def talk(self) -> Talk:
        """The conversation."""

    @property
    def choices(self) -> Choices:
        """How answers are asked for."""

    @property
    def model_name(self) -> str:
        """The model that answers."""

    @property
    def can_switch(self) -> bool:
        """Whether the chat's own server answers, whose model can be changed."""

    async def tell(self, text: str) -> None:
        """Show a notice."""

    async def start_anew(self) -> None:
        """Begin a new conversation."""

    async def open(self, number: int) -> None:
        """Go on with a conversation; ConversationNotFound where there is none of this number."""

    async def choose(self, choices: Choices, model: str | None = None) -> None:
        """Ask in this way from now on, and remember it with the conversation; `model` is one that was chosen."""

    async def ask_for(self, client: ChatClient, model: str, choices: Choices) -> None:
        """From the next message on, `model` of the server answers, with the adapter of `choices`."""

    async def switch_model(self, reference: str) -> bool:
        """Have another model of the own server answer; whether it does."""

    def forget_given(self) -> None:
        """Another model was chosen than the one of the command line, which does not count any more."""

    def show_in(self, language: str) -> None:
        """Show the interface in another language, a key of `LANGUAGES`."""

    async def quit(self) -> None:
        """Leave the chat."""
