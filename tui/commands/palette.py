"""The command palette: every command of the registry, found by what it does, in the interface's language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tui.commands.command import Command
from tui.history.folding import fold
from tui.screens.picker import Picker, Row
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.screens.conversation import ConversationScreen

NAME = "palette"


class Named(Protocol):
    """A command, as far as it is shown; `help` is an English text, marked for the catalogues."""

    @property
    def name(self) -> str:
        """What follows the slash."""

    @property
    def help(self) -> str:
        """What it does."""


@runtime_checkable
class HasPalette(Protocol):
    """A screen that has commands of its own to find."""

    def action_palette(self) -> None:
        """Find one."""


class Palette(Picker[str]):
    """Gives the name of the command that is to be done."""

    title_text = mark("Commands")
    search_hint = mark("What is to be done?")

    def __init__(self, commands: Iterable[Named]) -> None:
        super().__init__()
        self._commands = list(commands)

    def rows(self) -> Iterable[Row[str]]:
        """All commands but the palette itself."""
        for command in self._commands:
            if command.name != NAME:
                text = f"/{command.name} · {_(command.help)}"
                yield Row(command.name, text, "", fold(text))


def palette_command(commands: Mapping[str, Command]) -> Command:
    """The command that opens the palette of `commands`, which are looked at when it is asked for."""

    async def open_palette(screen: ConversationScreen, _argument: str) -> None:
        name = await screen.app.push_screen_wait(Palette(commands.values()))
        if name is None:
            return
        chosen = commands[name]
        if chosen.needs_argument:
            screen.prompt.value = f"/{chosen.name} "
            screen.prompt.focus()
        else:
            screen.action_run_command(chosen.name)

    return Command(NAME, mark("find a command"), open_palette)
