"""What a command of the chat is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui.plain.chat import PlainChat
    from tui.screens.conversation import ConversationScreen


@dataclass(frozen=True)
class Command:
    """`/name`, and what it does with the text behind it.

    `help` and `argument`, which says what is to stand behind the name, are English texts, marked for the catalogues;
    they are looked up where they are shown. `action` runs beside the screen, so it may wait; what it raises of
    `DemoticError` is told in the conversation. `plain` is the same where there is no screen; None where it makes no
    sense without one. `complete` gives what may stand behind the name, the likeliest first.
    `needs_argument`: without one it does nothing.
    """

    name: str
    help: str
    action: Callable[[ConversationScreen, str], Awaitable[None]]
    argument: str = ""
    plain: Callable[[PlainChat, str], Awaitable[None]] | None = None
    complete: Callable[[ConversationScreen], Sequence[str]] | None = None
    needs_argument: bool = False
