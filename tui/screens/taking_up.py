"""A conversation that is opened again is answered as it was: by its model and adapter, if they are there still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from runtime.errors import DemoticError
from tui.choosing.kept import settled
from tui.choosing.offers import is_here
from tui.words import _

if TYPE_CHECKING:
    from tui.client import ChatClient
    from tui.screens.conversation import ConversationScreen


async def take_up(screen: ConversationScreen, client: ChatClient) -> bool:
    """Have a conversation's own lock, sampling, model and adapter count again; its prompt never left it.

    A model that the command line names stays. What is no longer there is told, and what answers goes on.

    Returns:
        Whether another server was begun with, which is ready by now.
    """
    if screen.talk.conversation is None:
        return False
    kept = screen.talk.conversation.model
    if screen.app.can_switch:
        return await _take_up_own(screen, kept)
    try:
        served = {each.id for each in await client.models()}
    except DemoticError as fault:
        await screen.transcript.fail(str(fault))
        return False
    found = settled(kept, screen.talk.choices, client.parts, served, is_given=screen.app.is_model_given)
    await _tell(screen, found.notice, found.fault)
    screen.talk.choices = screen.choices = found.choices
    if client.parts != (found.model, found.choices.adapter):
        await screen.ask_for(client, found.model, found.choices)
    return False


async def _take_up_own(screen: ConversationScreen, kept: str) -> bool:
    """The same where the chat's own server answers, which has no adapters."""
    answers = screen.talk.model
    screen.talk.choices = screen.choices = msgspec.structs.replace(screen.talk.choices, adapter="")
    if kept in {"", answers, screen.app.told_of}:
        screen.app.told_of = ""
        return False
    if screen.app.is_model_given:
        notice = _("{model} answered here before. /model {model} has it answer again.").format(model=kept)
        await _tell(screen, notice, "")
        return False
    if await is_here(kept):
        await screen.app.switch_model(kept)
        return True
    told = _("{model}, which answered here, is no longer on this machine; {other} answers now.")
    step = _("/model {model} looks for it, and /model chooses another.")
    await _tell(screen, "", f"{told} {step}".format(model=kept, other=answers))
    return False


async def _tell(screen: ConversationScreen, notice: str, fault: str) -> None:
    if notice:
        await screen.tell(notice)
    if fault:
        await screen.transcript.fail(fault)
