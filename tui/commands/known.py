"""Names to complete that take a while to find: they are looked for when they are first asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from runtime.errors import DemoticError
from tui.choosing.offers import listed
from tui.client import ChatClient
from tui.words import _

if TYPE_CHECKING:
    from tui.screens.conversation import ConversationScreen


class Known:
    """`Command.complete` of what `find` finds for a server; it is offered as soon as it is there."""

    def __init__(self, find: Callable[[ConversationScreen, ChatClient], Awaitable[Sequence[str]]]) -> None:
        self._find = find
        self._names: WeakKeyDictionary[ChatClient, Sequence[str]] = WeakKeyDictionary()

    def __call__(self, screen: ConversationScreen) -> Sequence[str]:
        """What is known now."""
        client = screen.app.client
        if client is None:
            return ()
        if client not in self._names:
            self._names[client] = ()
            screen.run_worker(self._look(screen, client), group="known")
        return self._names[client]

    async def _look(self, screen: ConversationScreen, client: ChatClient) -> None:
        with suppress(DemoticError):  # it is told where the command itself meets it
            self._names[client] = await self._find(screen, client)
            screen.offer_completions()


async def _find_models(screen: ConversationScreen, client: ChatClient) -> Sequence[str]:
    if screen.app.can_switch:
        return [offer.name for offer in await listed()]
    return [model.id for model in await client.models() if model.can_talk and model.parent is None]


async def adapters_of(client: ChatClient, base: str) -> list[str]:
    """The adapters of a served model.

    Raises:
        DemoticError: the server does not answer, or has none of that model.
    """
    adapters = [
        adapter
        for model in await client.models()
        if model.id == base and model.demotic is not None
        for adapter in model.demotic.adapters
    ]
    if not adapters:
        raise DemoticError(_("{model} has no adapters here.").format(model=base))
    return adapters


async def _find_adapters(screen: ConversationScreen, client: ChatClient) -> Sequence[str]:
    return [NO_ADAPTER, *await adapters_of(client, screen.model_name)]


NO_ADAPTER = "none"
MODELS = Known(_find_models)
ADAPTERS = Known(_find_adapters)
