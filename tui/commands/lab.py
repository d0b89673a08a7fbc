"""The language lab: /lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.commands.command import Command
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.plain.chat import PlainChat
    from tui.screens.conversation import ConversationScreen


async def _open(screen: ConversationScreen, _argument: str) -> None:
    from tui.lab.lab import Lab
    from tui.lab.screen import LabScreen

    screen.require_ready()
    app = screen.app
    if app.lab is None:
        app.lab = Lab.beside(screen.model_name, screen.choices)
    await app.push_screen(LabScreen(app.lab))


async def _tell(chat: PlainChat, _argument: str) -> None:
    await chat.tell(_("`demotic lab` asks without a screen; `demotic lab --help` tells how."))


LAB = (Command("lab", mark("ask several models or languages the same, side by side"), _open, plain=_tell),)
