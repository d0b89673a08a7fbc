"""The commands of the lab's prompt, which are those of its keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tui.choosing.sampling import read_sampling, told
from tui.lab.bar import Bar
from tui.lab.card import default_path
from tui.lab.choosing import choose
from tui.lab.column import CHOICES, Choice
from tui.lab.save_panel import SavePanel
from tui.lab.saving import card_of
from tui.screens.sampling import SamplingPanel
from tui.widgets.completions import Completion
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.lab.screen import LabScreen


@dataclass(frozen=True)
class LabCommand:
    """`/name`, and what it does with the text behind it; `help` and `argument` are English texts for the catalogues."""

    name: str
    help: str
    action: Callable[[LabScreen, str], Awaitable[None]]
    argument: str = ""


def _choosing(choice: Choice) -> Callable[[LabScreen, str], Awaitable[None]]:
    async def choose_so(screen: LabScreen, typed: str) -> None:
        at = screen.board.selected
        if choice == "model":
            screen.require_idle()
        column = await choose(screen.app, screen.lab.columns[at], choice, typed, screen.tell)
        if column is not None:
            screen.lab.change(at, column)
            screen.board.show_column(at)
            screen.look_for_adapters()

    return choose_so


async def _add(screen: LabScreen, _argument: str) -> None:
    screen.require_idle()
    screen.lab.add(screen.board.selected)
    await screen.board.show_columns()
    screen.board.select(screen.board.selected + 1)


async def _remove(screen: LabScreen, _argument: str) -> None:
    screen.require_idle()
    screen.lab.remove(screen.board.selected)
    await screen.board.show_columns()


async def _order(screen: LabScreen, _argument: str) -> None:
    screen.require_idle()
    screen.lab.next_order()
    screen.query_one(Bar).show_words()


async def _sampling(screen: LabScreen, typed: str) -> None:
    if typed:
        screen.lab.sampling = read_sampling(typed, screen.lab.sampling)
    else:
        chosen = await screen.app.push_screen_wait(SamplingPanel(screen.lab.sampling))
        screen.lab.sampling = chosen or screen.lab.sampling
    screen.tell(_("Sampling: {settings}.").format(settings=told(screen.lab.sampling)))


async def _save(screen: LabScreen, typed: str) -> None:
    screen.require_idle()
    screen.lab.require_answers()
    screen.tell(_("Looking at this machine …"))
    card = await card_of(screen.lab, screen.endpoint(), is_own=screen.app.can_switch)
    screen.tell("")
    path = Path(typed).expanduser() if typed else default_path()
    files = await screen.app.push_screen_wait(SavePanel(card, path))
    if files is not None:
        screen.tell(_("Written to {path}.").format(path=" · ".join(map(str, files))))


async def _leave(screen: LabScreen, _argument: str) -> None:
    await screen.leave()


async def _help(screen: LabScreen, _argument: str) -> None:
    screen.tell("\n".join(f"/{each.name} {_(each.argument)}".rstrip() + f": {_(each.help)}" for each in LAB.values()))


_HELPS: dict[Choice, tuple[str, str]] = {
    "model": (mark("choose the column's model"), mark("MODEL")),
    "adapter": (mark("choose an adapter of its model"), mark("ADAPTER")),
    "language": (mark("ask for answers in a language"), mark("LANGUAGE")),
    "lock": (mark("keep its answer in the script of a language"), mark("LANGUAGE")),
}
_OTHERS = (
    LabCommand("add", mark("add a column like the selected one"), _add),
    LabCommand("remove", mark("take the selected column away"), _remove),
    LabCommand("order", mark("ask one after the other, or all at once"), _order),
    LabCommand("sampling", mark("set temperature and the like, for all columns"), _sampling, mark("NAME")),
    LabCommand("save", mark("write prompt, answers and figures as a card"), _save, mark("FILE")),
    LabCommand("leave", mark("go back to the conversation"), _leave),
    LabCommand("help", mark("tell all commands"), _help),
)
LAB: dict[str, LabCommand] = {
    **{choice: LabCommand(choice, _HELPS[choice][0], _choosing(choice), _HELPS[choice][1]) for choice in CHOICES},
    **{command.name: command for command in _OTHERS},
}


def completions(text: str) -> list[Completion]:
    """What the name of a command that is begun could become."""
    if not text.startswith("/") or text.startswith("//") or any(char.isspace() for char in text):
        return []
    begun = text[1:].casefold()
    return [
        Completion(f"/{name} " if command.argument else f"/{name}", f"/{name}", _(command.help))
        for name, command in LAB.items()
        if name.startswith(begun)
    ]
