"""What can be done with conversations: opened, named, kept at the top, deleted, exported; and what goes into one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InvalidRequest
from tui.attaching import read_attachment
from tui.commands.command import Command
from tui.exporting import export_to
from tui.history import conversations
from tui.history.records import Conversation
from tui.screens.conversations import ConversationsScreen
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.screens.conversation import ConversationScreen


async def _open(screen: ConversationScreen, argument: str) -> None:
    if argument.isdecimal():
        await screen.open(int(argument))
        return
    await _choose(screen, argument)


async def _choose(screen: ConversationScreen, query: str) -> None:
    number = await screen.app.push_screen_wait(ConversationsScreen(screen.keeper, query))
    if number is not None:
        await screen.open(number)


async def _rename(screen: ConversationScreen, title: str) -> None:
    if not title.strip():
        raise InvalidRequest(_("There is no title behind it."), remedy="/rename …")
    number = _current(screen).id
    await screen.keeper.do(conversations.rename, number, title)
    await screen.tell(_("Renamed."))


async def _pin(screen: ConversationScreen, _argument: str) -> None:
    found = await screen.keeper.do(conversations.get, _current(screen).id)
    await screen.keeper.do(conversations.pin, found.id, is_pinned=not found.is_pinned)
    await screen.tell(_("No more at the top of the list.") if found.is_pinned else _("At the top of the list."))


async def _delete(screen: ConversationScreen, _argument: str) -> None:
    number = _current(screen).id
    await screen.start_anew()
    await screen.keeper.do(conversations.delete, number)
    await screen.tell(_("Deleted. /restore {number} brings it back.").format(number=number))


async def _restore(screen: ConversationScreen, argument: str) -> None:
    if not argument.isdecimal():
        raise InvalidRequest(_("There is no number behind it."), remedy="/restore …")
    await screen.keeper.do(conversations.restore, int(argument))
    await screen.open(int(argument))


async def _export(screen: ConversationScreen, argument: str) -> None:
    number = _current(screen).id
    if not argument:
        raise InvalidRequest(_("There is no file behind it."), remedy="/export chat.md")
    path = await export_to(screen.keeper, number, argument)
    await screen.tell(_("Written to {path}.").format(path=path))


async def _attach(screen: ConversationScreen, argument: str) -> None:
    more = [await asyncio.to_thread(read_attachment, Path(argument).expanduser())] if argument else []
    screen.prompt.attach(*(screen.prompt.attached if more else ()), *more)


async def _instruct(screen: ConversationScreen, text: str) -> None:
    if text:
        await screen.talk.instruct("" if text == "off" else text)
    await screen.tell(screen.talk.system_prompt or _("There is no system prompt."))


def _current(screen: ConversationScreen) -> Conversation:
    if screen.talk.conversation is None:
        raise InvalidRequest(_("Nothing was said yet."))
    return screen.talk.conversation


REMEMBERING = (
    Command("open", mark("open an earlier conversation"), _open),
    Command("search", mark("search all conversations"), _choose, argument=mark("TEXT")),
    Command("rename", mark("give the conversation another title"), _rename, argument=mark("TITLE")),
    Command("pin", mark("keep the conversation at the top of the list, or no more"), _pin),
    Command("delete", mark("delete the conversation"), _delete),
    Command("restore", mark("bring a deleted conversation back"), _restore, argument=mark("NUMBER")),
    Command("export", mark("write the conversation as Markdown or JSON"), _export, argument=mark("FILE")),
    Command("attach", mark("send a text file along; without one, none"), _attach, argument=mark("FILE")),
    Command("system", mark("what the model is told first; `off` for nothing"), _instruct, argument=mark("TEXT")),
)
