"""What commands of both chats do with the one they were given in."""

from __future__ import annotations

from typing import Protocol


class Host(Protocol):
    """The conversation's screen, or the chat without one."""

    async def tell(self, text: str) -> None:
        """Show a notice."""

    async def start_anew(self) -> None:
        """Begin a new conversation."""

    def show_in(self, language: str) -> None:
        """Show the interface in another language, a key of `LANGUAGES`."""

    async def quit(self) -> None:
        """Leave the chat."""
