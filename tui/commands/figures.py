"""What answers took: /stats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import InvalidRequest
from tui.commands.command import Command
from tui.stats import told
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.plain.chat import PlainChat
    from tui.screens.conversation import ConversationScreen


async def _show(screen: ConversationScreen, _argument: str) -> None:
    from tui.screens.stats import StatsScreen

    found = await screen.talk.figures()
    if not found:
        raise InvalidRequest(_("There is no answer yet."))
    await screen.app.push_screen(StatsScreen(found))


async def _tell(chat: PlainChat, _argument: str) -> None:
    await chat.tell(told(await chat.talk.figures()))


FIGURES = (Command("stats", mark("show what each answer took"), _show, plain=_tell),)
