"""What can be done with conversations: opened, named, kept at the top, deleted, exported; and what goes into one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InvalidRequest
from tui.attaching import read_attachment
from tui.commands.command import Command
from tui.commands.host import Host
from tui.exporting import export_to
from tui.history import conversations
from tui.history.records import Conversation
from tui.screens.conversations import ConversationsScreen, found
from tui.screens.talks import TalkPicker
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.plain.chat import PlainChat
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


async def _open_plainly(chat: PlainChat, argument: str) -> None:
    if argument.isdecimal():
        await chat.open(int(argument))
        return
    await _choose_plainly(chat, argument)


async def _choose_plainly(chat: PlainChat, query: str) -> None:
    number = await chat.pick(TalkPicker(await chat.keeper.do(found, query)))
    if number is not None:
        await chat.open(number)


async def _rename(host: Host, title: str) -> None:
    if not title.strip():
        raise InvalidRequest(_("There is no title behind it."), remedy="/rename …")
    number = _current(host).id
    await host.keeper.do(conversations.rename, number, title)
    await host.tell(_("Renamed."))


async def _pin(host: Host, _argument: str) -> None:
    talk = await host.keeper.do(conversations.get, _current(host).id)
    await host.keeper.do(conversations.pin, talk.id, is_pinned=not talk.is_pinned)
    await host.tell(_("No more at the top of the list.") if talk.is_pinned else _("At the top of the list."))


async def _delete(host: Host, _argument: str) -> None:
    number = _current(host).id
    await host.start_anew()
    await host.keeper.do(conversations.delete, number)
    await host.tell(_("Deleted. /restore {number} brings it back.").format(number=number))


async def _restore(host: Host, argument: str) -> None:
    if not argument.isdecimal():
        raise InvalidRequest(_("There is no number behind it."), remedy="/restore …")
    await host.keeper.do(conversations.restore, int(argument))
    await host.open(int(argument))


async def _export(host: Host, argument: str) -> None:
    number = _current(host).id
    if not argument:
        raise InvalidRequest(_("There is no file behind it."), remedy="/export chat.md")
    path = await export_to(host.keeper, number, argument)
    await host.tell(_("Written to {path}.").format(path=path))


async def _attach(screen: ConversationScreen, argument: str) -> None:
    more = [await asyncio.to_thread(read_attachment, Path(argument).expanduser())] if argument else []
    screen.prompt.attach(*(screen.prompt.attached if more else ()), *more)


async def _attach_plainly(chat: PlainChat, argument: str) -> None:
    more = [await asyncio.to_thread(read_attachment, Path(argument).expanduser())] if argument else []
    chat.attached = (*chat.attached, *more) if more else ()


async def _instruct(host: Host, text: str) -> None:
    if text:
        await host.talk.instruct("" if text == "off" else text)
    await host.tell(host.talk.system_prompt or _("There is no system prompt."))


def _current(host: Host) -> Conversation:
    if host.talk.conversation is None:
        raise InvalidRequest(_("Nothing was said yet."))
    return host.talk.conversation


REMEMBERING = (
    Command("open", mark("open an earlier conversation"), _open, plain=_open_plainly),
    Command("search", mark("search all conversations"), _choose, argument=mark("TEXT"), plain=_choose_plainly),
    Command("rename", mark("give the conversation another title"), _rename, argument=mark("TITLE"), plain=_rename),
    Command("pin", mark("keep the conversation at the top of the list, or no more"), _pin, plain=_pin),
    Command("delete", mark("delete the conversation"), _delete, plain=_delete),
    Command("restore", mark("bring a deleted conversation back"), _restore, argument=mark("NUMBER"), plain=_restore),
    Command(
        "export", mark("write the conversation as Markdown or JSON"), _export, argument=mark("FILE"), plain=_export
    ),
    Command(
        "attach",
        mark("send a text file along; without one, none"),
        _attach,
        argument=mark("FILE"),
        plain=_attach_plainly,
    ),
    Command(
        "system",
        mark("what the model is told first; `off` for nothing"),
        _instruct,
        argument=mark("TEXT"),
        plain=_instruct,
    ),
)
