"""What is meant by a name behind a command, or by none: then a picker asks. None where that is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from runtime.errors import DemoticError
from tui.choosing.offers import Offer, previewed
from tui.commands.known import NO_ADAPTER, adapters_of
from tui.screens.download import DownloadPanel
from tui.screens.models import ModelPicker
from tui.screens.served import AdapterPicker, ServedPicker
from tui.words import _

if TYPE_CHECKING:
    from tui.app import ChatApp
    from tui.client import ChatClient
    from tui.screens.picker import Picker

Value = TypeVar("Value")


class Chooser(Protocol):
    """Where a person chooses: either of the two chats, or the language lab."""

    @property
    def client(self) -> ChatClient | None:
        """What asks the server, once it is there."""

    async def pick(self, picker: Picker[Value]) -> Value | None:
        """Have the person choose; None where nothing was chosen."""

    async def download(self, offer: Offer, reference: str) -> Offer | None:
        """Offer a model that is not on this machine; None where it is not wanted."""


@dataclass(frozen=True)
class ScreenChooser:
    """`Chooser` over the screens of the application."""

    app: ChatApp

    @property
    def client(self) -> ChatClient | None:
        """See `Chooser.client`."""
        return self.app.client

    async def pick(self, picker: Picker[Value]) -> Value | None:
        """See `Chooser.pick`."""
        return await self.app.push_screen_wait(picker)

    async def download(self, offer: Offer, reference: str) -> Offer | None:
        """See `Chooser.download`."""
        return await self.app.push_screen_wait(DownloadPanel(offer, reference))


def client_of(chooser: Chooser) -> ChatClient:
    """What answers.

    Raises:
        DemoticError: it is not there yet.
    """
    if chooser.client is None:
        raise DemoticError(_("The model is not there yet: wait until it is ready."))
    return chooser.client


async def find_model(chooser: Chooser, name: str, *, current: str) -> str | None:
    """A model of this machine; one that is not here is offered for download.

    Raises:
        DemoticError: there is none of this name.
    """
    if not name:
        chosen = await chooser.pick(ModelPicker(current=current))
        return None if chosen is None else chosen.name
    found = await previewed(name)
    if found.here:
        return name
    brought = await chooser.download(found, name)
    return None if brought is None else brought.name


async def find_served(chooser: Chooser, name: str, *, current: str) -> str | None:
    """A model of the server that the chat has joined.

    Raises:
        DemoticError: it has none of this name, or does not answer.
    """
    models = await client_of(chooser).models()
    if not name:
        return await chooser.pick(ServedPicker(models, current=current))
    if name not in {model.id for model in models}:
        known = ", ".join(model.id for model in models)
        raise DemoticError(_("The server has no model '{name}'. It has {known}.").format(name=name, known=known))
    return name


async def find_adapter(chooser: Chooser, base: str, name: str, *, current: str) -> str | None:
    """An adapter of the model `base`; empty for none.

    Raises:
        DemoticError: the model has none of this name.
    """
    adapters = await adapters_of(client_of(chooser), base)
    if not name:
        return await chooser.pick(AdapterPicker(base, adapters, current=current))
    if name == NO_ADAPTER:
        return ""
    if name not in adapters:
        known = ", ".join(adapters)
        raise DemoticError(_("There is no adapter '{name}'. There are {known}.").format(name=name, known=known))
    return name
