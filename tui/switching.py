"""The chat's own server, exchanged for one with another model, or with one more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.errors import HistoryUnusable
from tui.events import Endpoint
from tui.history.resuming import Resume, resumed
from tui.joining import Server
from tui.keeper import Keeper
from tui.server import PrivateServer


async def prefer_kept(server: Server, keeper: Keeper, resume: Resume) -> None:
    """Have the model of the conversation that is gone on with answer, so that no other one is loaded before it."""
    if not isinstance(server, SwitchedServer) or server.model is not None:
        return
    await keeper.open()
    with suppress(HistoryUnusable):  # whoever opens the conversation tells
        found = await keeper.do(resumed, resume)
        server.prefer(found.model if found is not None else "")


class SwitchedServer:
    """A `Server` whose models can be changed: one private server at a time, since two may not fit the memory.

    Where there are several, the server unloads those that it has no room for. `adapter_dir` is as in `PrivateServer`.
    """

    def __init__(self, *models: str | None, adapter_dir: Path | None = None) -> None:
        self._adapter_dir = adapter_dir
        self.on_share: Callable[[float], None] = lambda _share: None
        self._models = models
        self._server = self._of(models)

    def prefer(self, model: str) -> None:
        """Have `model` answer unless one was named already; to be called before this is entered."""
        if self.model is None and model:
            self._models = (model,)
            self._server = self._of(self._models)

    @property
    def model(self) -> str | None:
        """The model that is asked for, the first of several; None is the default one."""
        return self._models[0] if self._models else None

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
        server = PrivateServer(*models, adapter_dir=self._adapter_dir)
        server.on_share = self._tell_share
        return server

    def _tell_share(self, share: float) -> None:
        self.on_share(share)
