"""The models that a server serves, by name, each loaded once."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Callable, Sequence

from runtime.errors import ModelNotFound
from runtime.model import Model


class ModelPool:
    """Loads a model when it is first asked for; requests that come meanwhile wait for the same loading."""

    def __init__(self, names: Sequence[str], load: Callable[[str], Model]) -> None:
        """`load` is called in a thread, once a name."""
        self.names = tuple(names)
        self.started = int(time.time())
        self._load = load
        self._models: dict[str, asyncio.Task[Model]] = {}

    async def get(self, name: str | None) -> Model:
        """The model served as `name`; the first one for None.

        Raises:
            ModelNotFound: no model is served under that name.
            DemoticError: it could not be loaded; the next request tries again.
        """
        name = self.names[0] if name is None else name
        if name not in self.names:
            raise ModelNotFound(name, nearest=self.nearest(name), remedy=f"This server has {', '.join(self.names)}.")
        task = self._models.get(name)
        if task is None or (task.done() and task.exception() is not None):
            task = self._models[name] = asyncio.create_task(asyncio.to_thread(self._load, name))
        # One caller's leaving must not cancel the loading that others wait for.
        return await asyncio.shield(task)

    def nearest(self, name: str) -> tuple[str, ...]:
        """Served names that look like `name`."""
        return tuple(difflib.get_close_matches(name, self.names))

    async def close(self) -> None:
        """Unload everything; requests in flight are answered with an error first."""
        loaded = await asyncio.gather(*self._models.values(), return_exceptions=True)
        self._models.clear()
        for model in loaded:
            if isinstance(model, Model):
                await asyncio.to_thread(model.close)
