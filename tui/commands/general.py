"""The commands of the chat as a whole: /help, /new, /language, /quit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tui.commands.command import Command
from tui.commands.host import Host
from tui.screens.interface import InterfacePicker
from tui.words import LANGUAGES, _, checked, mark

if TYPE_CHECKING:
    from tui.plain.chat import PlainChat
    from tui.screens.conversation import ConversationScreen


def help_command(commands: Iterable[Command]) -> Command:
    """The command that tells of `commands`, which are looked at when it is asked for."""

    async def tell(host: Host, told: Iterable[Command]) -> None:
        lines = [f"{_head(command)}: {_(command.help)}" for command in told]
        await host.tell("\n".join([*lines, _("Two slashes say a line that begins with one.")]))

    async def tell_all(screen: ConversationScreen, _argument: str) -> None:
        await tell(screen, commands)

    async def tell_plain(chat: PlainChat, _argument: str) -> None:
        await tell(chat, [command for command in commands if command.plain is not None])

    return Command("help", mark("tell all commands"), tell_all, plain=tell_plain)


def _head(command: Command) -> str:
    return f"/{command.name} {_(command.argument)}" if command.argument else f"/{command.name}"


async def _start_anew(host: Host, _argument: str) -> None:
    await host.start_anew()


async def _show_in(host: Host, code: str) -> None:
    if code:
        host.show_in(checked(code))
        return
    chosen = await host.pick(InterfacePicker())
    if chosen is not None:
        host.show_in(chosen)


async def _quit(host: Host, _argument: str) -> None:
    await host.quit()


GENERAL = (
    Command("new", mark("begin a new conversation"), _start_anew, plain=_start_anew),
    Command(
        "language",
        mark("show the chat in this language"),
        _show_in,
        argument=mark("CODE"),
        complete=lambda _screen: tuple(LANGUAGES),
        plain=_show_in,
    ),
    Command("quit", mark("leave the chat"), _quit, plain=_quit),
)
