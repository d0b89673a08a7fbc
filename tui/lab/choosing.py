"""Another choice for a column of the lab: typed, or by the pickers of the chat."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from runtime.errors import InvalidRequest
from tui.choosing.locks import lock_of
from tui.commands.finding import ScreenChooser, client_of, find_adapter, find_model, find_served
from tui.lab.column import NONE, Choice, Column
from tui.screens.languages import LanguagePicker
from tui.screens.lock import LockPicker
from tui.words import _, mark

if TYPE_CHECKING:
    from tui.app import ChatApp


class AnswerPicker(LanguagePicker):
    """Gives the language that answers are asked for in, or `NONE`."""

    title_text = mark("Ask for answers in a language")
    first = ((NONE, mark("as the prompt has it")),)


async def choose(
    app: ChatApp, column: Column, choice: Choice, typed: str, tell: Callable[[str], None]
) -> Column | None:
    """The column with another choice: the one that was typed or, where nothing was, one from a picker.

    None where the picker was left. A model that the chat's own server has not yet is started there, which `tell` is
    told of.

    Raises:
        DemoticError: there is no such model, adapter or language, or the model does not start.
    """
    chooser = ScreenChooser(app)
    match choice:
        case "model":
            find = find_model if app.can_switch else find_served
            found = await find(chooser, typed, current=column.model)
            if not found:
                return None
            tell(_("loading …"))
            name = await served(app, found)
            tell(_("{model} is ready.").format(model=name))
            return column.changed("model", name)
        case "adapter":
            adapter = await find_adapter(chooser, column.model, typed, current=column.adapter)
            return None if adapter is None else column.changed("adapter", adapter or NONE)
        case "language" if typed:
            return column.changed("language", typed)
        case "language":
            code = await app.push_screen_wait(AnswerPicker(column.language or NONE))
            return column.changed("language", code) if code else None
        case "lock" if typed:
            return column.changed("lock", typed)
        case "lock":
            picker = LockPicker(column.lock)
            language = await app.push_screen_wait(picker)
            if language is None:
                return None
            return msgspec.structs.replace(column, lock=lock_of(language, picker.mode))


async def served(app: ChatApp, reference: str) -> str:
    """The name under which the endpoint has a model; the chat's own server is started with it, if it has it not.

    Raises:
        DemoticError: it does not start, or another one has its name.
    """
    before = {model.id for model in await client_of(ScreenChooser(app)).models()}
    if reference in before or not app.can_switch:
        return reference
    await app.add_model(reference)
    new = [model.id for model in await client_of(ScreenChooser(app)).models() if model.id not in before]
    if not new:
        raise InvalidRequest(_("Another model here has the name of {model} already.").format(model=reference))
    return new[0]
