"""What is remembered, in a thread of its own: the screen never waits for the disk or for another chat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from runtime.errors import HistoryUnusable
from tui.history.store import Store

ParamsT = ParamSpec("ParamsT")
ResultT = TypeVar("ResultT")


def in_memory() -> Store:
    """A store of which nothing is kept."""
    return Store(is_in_memory=True)


class Keeper:
    """The store that `opening` gives. All is done in the order in which it is asked for."""

    def __init__(self, opening: Callable[[], Store] = in_memory) -> None:
        self._opening = opening
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._store: Store | None = None
        self._fault: HistoryUnusable | None = None
        self._is_closed = False

    async def open(self) -> HistoryUnusable | None:
        """Open the store, once, or, where that fails, one in memory; then the fault is returned."""
        if self._store is not None:
            return self._fault
        loop = asyncio.get_running_loop()
        try:
            self._store = await loop.run_in_executor(self._thread, self._opening)
        except HistoryUnusable as fault:
            self._store = await loop.run_in_executor(self._thread, in_memory)
            self._fault = fault
        return self._fault

    async def do(
        self,
        act: Callable[Concatenate[Store, ParamsT], ResultT],
        /,
        *arguments: ParamsT.args,
        **named: ParamsT.kwargs,
    ) -> ResultT:
        """What `act` gives for the store."""
        return await self.call(partial(act, self.store, *arguments, **named))

    async def call(self, act: Callable[[], ResultT]) -> ResultT:
        """What `act` gives, which works on the store already.

        Raises:
            HistoryUnusable: the store is closed, or what `act` raises.
        """
        if self._is_closed:
            raise HistoryUnusable("The conversations are closed.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    @property
    def store(self) -> Store:
        """The store, which is open.

        Raises:
            RuntimeError: it is not.
        """
        if self._store is None:
            raise RuntimeError("what is remembered is not open yet")
        return self._store

    def close(self) -> None:
        """Finish what was asked for, and close the store."""
        self._is_closed = True
        if self._store is not None:
            self._thread.submit(self._store.close)
        self._thread.shutdown(wait=True)
