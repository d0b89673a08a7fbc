"""What is done where the chat's own server does not start: another model, or the offer to download it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import DemoticError
from tui.choosing.offers import default_name, missing
from tui.screens.download import DownloadPanel
from tui.words import _

if TYPE_CHECKING:
    from tui.app import ChatApp


async def start_otherwise(app: ChatApp, fault: DemoticError) -> None:
    """Go on after `fault`: without the model of the conversation that is resumed, or by offering a download.

    Raises:
        DemoticError: nothing can answer.
    """
    asked = app.asked
    if asked and not app.is_model_given:
        await app.conversation.is_open.wait()
        await app.conversation.transcript.fail(
            f"{fault} " + _("It answered here before; another model answers now. /model chooses one.")
        )
        app.told_of, asked = asked, await default_name()
        try:
            await app.answer_by(asked)
        except DemoticError as later:
            fault = later
        else:
            return
    asked = asked or await default_name()
    offer = await missing(asked)
    if offer is None:
        raise fault
    brought = await app.push_screen_wait(DownloadPanel(offer, asked))
    if brought is None:
        await app.conversation.go_without()
    else:
        await app.answer_by(brought.name)
