"""The command palette: every command of the registry, found by what it does, in the interface's language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tui.commands.command import Command
from tui.history.folding import fold
from tui.screens.picker import Picker, Row
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.screens.conversation import ConversationScreen

NAME = "palette"


class Palette(Picker[Command]):
    """Gives the command that is to be done."""

    title_text = mark("Commands")
    search_hint = mark("What is to be done?")

    def __init__(self, commands: Iterable[Command]) -> None:
        super().__init__()
        self._commands = list(commands)

    def rows(self) -> Iterable[Row[Command]]:
        """All commands but the palette itself."""
        for command in self._commands:
            if command.name != NAME:
                text = f"/{command.name} · {_(command.help)}"
                yield Row(command, text, "", fold(text))


def palette_command(commands: Mapping[str, Command]) -> Command:
    """The command that opens the palette of `commands`, which are looked at when it is asked for."""

    async def open_palette(screen: ConversationScreen, _argument: str) -> None:
        chosen = await screen.app.push_screen_wait(Palette(commands.values()))
        if chosen is None:
            return
        if chosen.needs_argument:
            screen.prompt.value = f"/{chosen.name} "
            screen.prompt.focus()
        else:
            screen.action_run_command(chosen.name)

    return Command(NAME, mark("find a command"), open_palette)
