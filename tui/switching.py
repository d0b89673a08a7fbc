"""The chat's own server, exchanged for one with another model, or with one more."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from tui.events import Endpoint
from tui.server import PrivateServer


class SwitchedServer:
    """A `Server` whose models can be changed: one private server at a time, since two may not fit the memory.

    Where there are several, the server unloads those that it has no room for.
    """

    def __init__(self, *models: str | None) -> None:
        self.on_share: Callable[[float], None] = lambda _share: None
        self._models = models
        self._server = self._of(models)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._server.__aexit__(kind, error, traceback)

    async def endpoint(self) -> Endpoint:
        """Wait until the server answers; to be called once for each model.

        Raises:
            DemoticError: it ended instead.
        """
        return await self._server.endpoint()

    async def switch(self, model: str) -> Endpoint:
        """Have another model answer. Where it does not start, the one before is started again: ask for its `endpoint`.

        Raises:
            DemoticError: the model did not start.
        """
        return await self._serve((model,))

    async def add(self, model: str, current: str) -> Endpoint:
        """Have one more model, behind those that are there; `current` is the name of the default one, if that is.

        Raises: as `switch`.
        """
        return await self._serve((*(before or current for before in self._models), model))

    async def _serve(self, models: tuple[str | None, ...]) -> Endpoint:
        before = self._models
        await self._exchange(models)
        try:
            return await self._server.endpoint()
        except BaseException:
            await self._exchange(before)
            raise

    async def _exchange(self, models: tuple[str | None, ...]) -> None:
        await self._server.__aexit__(None, None, None)
        self._models, self._server = models, self._of(models)
        await self._server.__aenter__()

    def _of(self, models: tuple[str | None, ...]) -> PrivateServer:
        server = PrivateServer(*models)
        server.on_share = self._tell_share
        return server

    def _tell_share(self, share: float) -> None:
        self.on_share(share)
