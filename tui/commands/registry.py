"""All commands, and what a line of the prompt has to do with them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tui.commands.choosing import CHOOSING
from tui.commands.command import Command
from tui.commands.figures import FIGURES
from tui.commands.general import GENERAL, help_command
from tui.commands.lab import LAB
from tui.commands.palette import palette_command
from tui.commands.remembering import REMEMBERING
from tui.commands.turns import TURNS
from tui.widgets.completions import Completion
from tui.words import _

if TYPE_CHECKING:
    from tui.screens.conversation import ConversationScreen

_OTHERS = (*FIGURES, *GENERAL, *LAB, *REMEMBERING, *TURNS, *CHOOSING)
COMMANDS: dict[str, Command] = {command.name: command for command in sorted(_OTHERS, key=lambda each: each.name)}
COMMANDS["help"] = help_command(COMMANDS.values())
COMMANDS["palette"] = palette_command(COMMANDS)

# The path of a file is no command.
_CALLED = re.compile(r"/([^\s/]+)(?:\s+(.*?))?\s*", re.DOTALL)


def called(text: str) -> tuple[str, str] | None:
    """The name of a command and what stands behind it, if the text is one: it begins with a slash, and not with two."""
    found = _CALLED.fullmatch(text)
    return None if found is None else (found[1].casefold(), found[2] or "")


def said(text: str) -> str:
    """What a text that is no command says: the first of two slashes only kept it from being one."""
    return text[1:] if text.startswith("//") else text


def unknown(name: str, known: Iterable[str] = COMMANDS) -> str:
    """What people are told where there is no such command among those `known`: the nearest one, and the next step."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = " " + _("Did you mean /{name}?").format(name=nearest[0]) if nearest else ""
    step = _("/help tells all commands; two slashes say it as it is.")
    return _("There is no command /{name}.").format(name=name) + f"{hint} {step}"


def completions(screen: ConversationScreen, text: str) -> list[Completion]:
    """What a line that is begun could become: names of commands and, behind one, its arguments."""
    if not text.startswith("/") or "\n" in text or text.startswith("//"):
        return []
    name, blank, begun = text[1:].partition(" ")
    if not blank:
        return [
            Completion(f"/{known} " if command.argument else f"/{known}", f"/{known}", _(command.help))
            for known, command in COMMANDS.items()
            if known.startswith(name.casefold())
        ]
    command = COMMANDS.get(name.casefold())
    if command is None or command.complete is None:
        return []
    wanted = begun.strip().casefold()
    return [
        Completion(f"/{name} {argument}", argument)
        for argument in command.complete(screen)
        if argument.casefold().startswith(wanted)
    ]
