"""What is meant by a name behind a command, or by none: then a picker asks. None where that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import DemoticError
from tui.choosing.offers import previewed
from tui.commands.known import NO_ADAPTER, adapters_of
from tui.screens.download import DownloadPanel
from tui.screens.models import ModelPicker
from tui.screens.served import AdapterPicker, ServedPicker
from tui.words import _

if TYPE_CHECKING:
    from tui.app import ChatApp
    from tui.client import ChatClient


def client_of(app: ChatApp) -> ChatClient:
    """What answers.

    Raises:
        DemoticError: it is not there yet.
    """
    if app.client is None:
        raise DemoticError(_("The model is not there yet: wait until it is ready."))
    return app.client


async def find_model(app: ChatApp, name: str, *, current: str) -> str | None:
    """A model of this machine; one that is not here is offered for download.

    Raises:
        DemoticError: there is none of this name.
    """
    if not name:
        chosen = await app.push_screen_wait(ModelPicker(current=current))
        return None if chosen is None else chosen.name
    found = await previewed(name)
    if found.here:
        return name
    brought = await app.push_screen_wait(DownloadPanel(found, name))
    return None if brought is None else brought.name


async def find_served(app: ChatApp, name: str, *, current: str) -> str | None:
    """A model of the server that the chat has joined.

    Raises:
        DemoticError: it has none of this name, or does not answer.
    """
    models = await client_of(app).models()
    if not name:
        return await app.push_screen_wait(ServedPicker(models, current=current))
    if name not in {model.id for model in models}:
        known = ", ".join(model.id for model in models)
        raise DemoticError(_("The server has no model '{name}'. It has {known}.").format(name=name, known=known))
    return name


async def find_adapter(app: ChatApp, base: str, name: str, *, current: str) -> str | None:
    """An adapter of the model `base`; empty for none.

    Raises:
        DemoticError: the model has none of this name.
    """
    adapters = await adapters_of(client_of(app), base)
    if not name:
        return await app.push_screen_wait(AdapterPicker(base, adapters, current=current))
    if name == NO_ADAPTER:
        return ""
    if name not in adapters:
        known = ", ".join(adapters)
        raise DemoticError(_("There is no adapter '{name}'. There are {known}.").format(name=name, known=known))
    return name
