"""The chat's own server, exchanged for one with another model."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from tui.events import Endpoint
from tui.server import PrivateServer


class SwitchedServer:
    """A `Server` whose model can be changed: one private server at a time, since two models may not fit the memory."""

    def __init__(self, model: str | None) -> None:
        self.on_share: Callable[[float], None] = lambda _share: None
        self._model = model
        self._server = self._of(model)

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
        before = self._model
        await self._exchange(model)
        try:
            return await self._server.endpoint()
        except BaseException:
            await self._exchange(before)
            raise

    async def _exchange(self, model: str | None) -> None:
        await self._server.__aexit__(None, None, None)
        self._model, self._server = model, self._of(model)
        await self._server.__aenter__()

    def _of(self, model: str | None) -> PrivateServer:
        server = PrivateServer(model)
        server.on_share = self._tell_share
        return server

    def _tell_share(self, share: float) -> None:
        self.on_share(share)
