"""The commands of the chat as a whole: /help, /new, /language, /quit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tui.commands.command import Command
from tui.words import LANGUAGES, _, checked, mark

if TYPE_CHECKING:
    from tui.screens.conversation import ConversationScreen


def help_command(commands: Iterable[Command]) -> Command:
    """The command that tells of `commands`, which are looked at when it is asked for."""

    async def tell_commands(screen: ConversationScreen, _argument: str) -> None:
        heads = {
            command.name: f"/{command.name} {_(command.argument) if command.argument else ''}" for command in commands
        }
        lines = [f"{heads[command.name].rstrip()}: {_(command.help)}" for command in commands]
        await screen.transcript.tell("\n".join([*lines, _("Two slashes say a line that begins with one.")]))

    return Command("help", mark("tell all commands"), tell_commands)


async def _start_anew(screen: ConversationScreen, _argument: str) -> None:
    await screen.action_start_anew()


async def _show_in(screen: ConversationScreen, code: str) -> None:
    if code:
        screen.app.show_in(checked(code))
        return
    await screen.transcript.tell(" · ".join(f"{code}: {name}" for code, name in LANGUAGES.items()))


async def _quit(screen: ConversationScreen, _argument: str) -> None:
    await screen.app.action_quit()


GENERAL = (
    Command("new", mark("begin a new conversation"), _start_anew),
    Command(
        "language",
        mark("show the chat in this language"),
        _show_in,
        argument=mark("CODE"),
        complete=lambda _screen: tuple(LANGUAGES),
    ),
    Command("quit", mark("leave the chat"), _quit),
)
