"""The models that a server serves, by name: loaded when they are needed, unloaded when others need the room.

A model is loaded when it is first asked for; requests that come meanwhile wait for the same loading. Models are loaded
one after the other, so that each is planned with the memory that is really left. To make room, the one that was idle
for the longest time goes; one with requests in flight never does, and a request waits a while for it to fall idle.

Bundles on one model, where they leave its vocabulary alone, are names for the same process: it has their adapters, and
each name its own template and defaults.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from runtime.card import ModelCard
from runtime.config import EngineConfig, PoolConfig
from runtime.engine.client import EngineClient
from runtime.engine.served import ModelState, ModelStatistics, Served, unload
from runtime.errors import (
    AdapterNotFound,
    Cancelled,
    DemoticError,
    InvalidRequest,
    ModelBusy,
    ModelLoadFailed,
    ModelNotFound,
    NoRoomForModel,
    QueueFull,
    WorkerDied,
)
from runtime.hardware.plan import Plan
from runtime.hardware.retreat import retreat, uses_card
from runtime.model import Model

_POLL_SECONDS = 0.05


class Loader(Protocol):
    """What the pool needs to load a model. All but `adapters` are called in a thread."""

    def read(self, name: str) -> ModelCard:
        """What is known of the model before it is loaded."""

    def plan(self, card: ModelCard, *, spare_bytes: int = 0) -> Plan:
        """How it would be run now, or with so many bytes more; ModelLoadFailed where it does not fit at all."""

    def start(self, card: ModelCard, plan: Plan, progress: Callable[[float], bool]) -> Model:
        """Load it; where `progress`, which is told the share loaded, returns False, stop with `Cancelled`."""

    def adapters(self, name: str) -> tuple[str, ...]:
        """Names of the adapters that it may be asked for."""

    def attach(self, model: Model, adapter: str) -> None:
        """Load an adapter, which the model may have already; AdapterNotFound where there is none of that name."""


class ModelPool:
    """Belongs to one event loop: all methods are called there."""

    def __init__(
        self,
        names: Sequence[str],
        loader: Loader,
        config: PoolConfig | None = None,
        *,
        max_waiting: int = EngineConfig.max_waiting,
        cards: Mapping[str, ModelCard] | None = None,
        shares: Mapping[str, str] | None = None,
    ) -> None:
        """`max_waiting` is how many requests may wait for one model to be loaded.

        `cards` are those that are known already; the others are read when they are asked for. `shares` tells of names
        whose model is in the process of another name.
        """
        self.names = tuple(names)
        self.started = int(time.time())
        self._shares = dict(shares or {})
        # What was last known of the file of each.
        self._cards = dict(cards or {})
        own = {name: Served(name) for name in self.names if name not in self._shares}
        self._served = {name: own[self._shares.get(name, name)] for name in self.names}
        self._loader = loader
        self._config = config or PoolConfig()
        self._max_waiting = max_waiting
        # Held while a model is loaded or unloaded.
        self._changing = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._is_closing = False

    async def preload(self) -> None:
        """Load the models, in order, as many as may be loaded at a time. Raises as `get` does."""
        for served in self._all()[: self._config.max_models]:
            await self.get(served.name)

    def split(self, name: str) -> tuple[str, str | None]:
        """Model and adapter of "model:adapter"; a model's own name may have colons, too."""
        base, colon, adapter = name.rpartition(":")
        return (base, adapter) if colon and name not in self._served and base in self._served else (name, None)

    def adapters(self, name: str) -> tuple[str, ...]:
        """Names of the adapters that a served model may be asked for."""
        return self._loader.adapters(name)

    def shares(self, name: str) -> str | None:
        """The served name whose process has the model of `name`; None where it has its own."""
        return self._shares.get(name)

    @asynccontextmanager
    async def hold(self, name: str | None, adapter: str | None = None) -> AsyncIterator[tuple[Model, str | None]]:
        """The model as `get` gives it, and the adapter that `name` or `adapter` asks for, or that its bundle has.

        It stays loaded while the block runs. Raises as `get` does.
        """
        if name is not None:
            name, named = self.split(name)
            if adapter is not None and named not in {None, adapter}:
                raise InvalidRequest(f"The request asks for two adapters, '{named}' and '{adapter}'.", param="adapter")
            adapter = adapter or named
        model = await self.get(name, adapter)
        served = self._served[model.name]
        served.claims += 1
        try:
            yield model, adapter or _own_adapter(model.card)
        finally:
            served.claims -= 1

    async def card(self, name: str) -> ModelCard:
        """What is known of a served model, which need not be loaded: as of its last loading, or of the start.

        Raises:
            ModelFileInvalid, UnsupportedArchitecture: it was not known yet, and the file cannot be run.
        """
        if name not in self._cards:
            self._cards[name] = await asyncio.to_thread(self._loader.read, name)
        return self._cards[name]

    def loaded(self, name: str) -> Model | None:
        """A served model where it is loaded; None where it is not."""
        return self._living(self._served[name])

    async def get(self, name: str | None, adapter: str | None = None) -> Model:
        """The model served as `name`, the first one for None, with `adapter`, or that of its bundle, attached.

        It stays loaded until the caller waits for something.

        Raises:
            ModelNotFound: no model is served under that name.
            AdapterNotFound: it has no such adapter; a bundle has none to choose from.
            QueueFull: as many requests wait for it to be loaded as may.
            WorkerDied: its process died again and again, and is not started yet.
            NoRoomForModel: other models were answering all the time.
            DemoticError: it could not be loaded; the next request tries again.
        """
        name = self.names[0] if name is None else name
        served = self._find(name)
        if self._keeper is None and self._config.keep_alive is not None:
            self._keeper = asyncio.create_task(self._unload_idle(self._config.keep_alive))
        served.claims += 1
        try:
            while (model := self._living(served)) is None:
                if served.num_waiting >= self._max_waiting:
                    raise QueueFull(num_waiting=served.num_waiting)
                if served.loading is None:
                    self._check_delay(served)
                    served.loading = asyncio.create_task(self._load(served))
                served.num_waiting += 1
                try:
                    # One caller's leaving must not cancel the loading that others wait for.
                    await asyncio.shield(served.loading)
                finally:
                    served.num_waiting -= 1
            if name != served.name:
                model = model.shown_as(await self.card(name))
            own = _own_adapter(model.card)
            if adapter is not None and model.card.bundle is not None:
                raise AdapterNotFound(adapter, known=())
            if (wanted := adapter or own) is not None and wanted not in model.adapters:
                await asyncio.to_thread(self._loader.attach, model, wanted)
            return model
        finally:
            served.claims -= 1

    async def unload(self, name: str, *, is_forced: bool = False) -> None:
        """Unload a served model, if it is loaded; the next request for it loads it again.

        Raises:
            ModelNotFound: no model is served under that name.
            ModelBusy: it has requests, and is not unloaded before they end unless `is_forced`; or it is being loaded.
        """
        served = self._find(name)
        if served.loading is not None:
            raise ModelBusy(name, "is being loaded", remedy="Wait until it is loaded.")
        async with self._changing:
            if self._living(served) is None:
                return
            if served.idle_seconds is None and not is_forced:
                raise ModelBusy(name, "has requests in flight", remedy="Wait for them, or send 'force': true.")
            await unload(served)

    def nearest(self, name: str) -> tuple[str, ...]:
        """Served names that look like `name`."""
        return tuple(difflib.get_close_matches(name, self.names))

    def states(self) -> dict[str, ModelState]:
        """What has become of each model. "failed": it died, or could not be loaded; the next request tries again."""
        return {name: self._state(served) for name, served in self._served.items()}

    def progress(self, name: str) -> float | None:
        """How much of a served model is loaded, from 0 to 1, while it is being loaded; else None."""
        served = self._served[name]
        return served.share if served.loading is not None else None

    def statistics(self) -> dict[str, ModelStatistics]:
        """What each model's processes have done, and what the present one holds; names that share one are left out."""
        return {served.name: self._statistics(served) for served in self._all()}

    def name_of(self, client: EngineClient) -> str | None:
        """The name under which `client` serves; None where it does no more, and another has come after it."""
        return next((served.name for served in self._all() if served.client is client), None)

    async def close(self) -> None:
        """Unload everything; requests in flight are answered with an error first."""
        self._is_closing = True
        if self._keeper is not None:
            self._keeper.cancel()
        loading = [served.loading for served in self._all() if served.loading is not None]
        await asyncio.gather(*loading, return_exceptions=True)
        await asyncio.gather(*(unload(served) for served in self._all()))

    def _find(self, name: str) -> Served:
        served = self._served.get(name)
        if served is None:
            raise ModelNotFound(name, nearest=self.nearest(name), remedy=f"This server has {', '.join(self.names)}.")
        return served

    def _living(self, served: Served) -> Model | None:
        served.bury(self._config.stable_seconds)
        return served.model

    def _state(self, served: Served) -> ModelState:
        if served.loading is not None:
            return "loading"
        if self._living(served) is not None:
            return "ready"
        return "unloaded" if served.fault is None else "failed"

    def _statistics(self, served: Served) -> ModelStatistics:
        state, model = self._state(served), served.model
        engine, pid = (None, None) if model is None else (model.client.statistics, model.client.pid)
        adapter_bytes = 0 if model is None else sum(model.adapters.values())
        return ModelStatistics(state, served.restarts, served.totals, engine, pid, adapter_bytes)

    def _all(self) -> list[Served]:
        """Each once, however many names it has."""
        return [served for name, served in self._served.items() if name == served.name]

    def _loaded(self) -> list[Served]:
        return [served for served in self._all() if self._living(served) is not None]

    def _check_delay(self, served: Served) -> None:
        """Refuse to start a process again too soon after it died.

        Raises:
            WorkerDied: the delay is not over.
        """
        if isinstance(fault := served.fault, WorkerDied):
            delays = self._config.restart_delays
            delay = delays[min(served.deaths, len(delays)) - 1]
            left = served.failed_at + delay - time.monotonic()
            if left > 0:
                raise WorkerDied(
                    fault.model,
                    fault.cause,
                    retry_after=math.ceil(left),
                    lacked_card_memory=fault.lacked_card_memory,
                )

    async def _load(self, served: Served) -> None:
        try:
            async with self._changing:
                if self._is_closing:
                    raise Cancelled("The server is stopping.")
                card = self._cards[served.name] = await asyncio.to_thread(self._loader.read, served.name)
                for name in [name for name, owner in self._shares.items() if owner == served.name]:
                    self._cards[name] = card.of((await self.card(name)).file)
                plan = await self._make_room(served, card)
                if served.lacked_card_memory and uses_card(plan):
                    plan = retreat(plan)
                served.restarts += served.has_died
                served.has_died = False
                progress = functools.partial(self._note_share, served)
                model = await asyncio.to_thread(self._loader.start, card, plan, progress)
                served.take(model)
        except DemoticError as fault:
            served.fail(fault, time.monotonic())
            raise
        finally:
            served.loading = None
            served.share = 0.0

    def _note_share(self, served: Served, share: float) -> bool:
        """Note how much is loaded, from the thread that loads, and say whether to go on."""
        served.share = share
        return not self._is_closing

    async def _make_room(self, served: Served, card: ModelCard) -> Plan:
        """The plan for a model, once as many others are unloaded as it takes."""
        deadline = time.monotonic() + self._config.room_seconds
        while True:
            plan = await self._plan(card)
            if plan is not None:
                return plan
            if (idle := self._idlest()) is not None:
                await unload(idle)
            elif time.monotonic() >= deadline or self._is_closing:
                raise NoRoomForModel(served.name)
            else:
                await asyncio.sleep(_POLL_SECONDS)

    async def _plan(self, card: ModelCard) -> Plan | None:
        """How to run a model now; None where another has to go first.

        Raises:
            ModelLoadFailed: it would not fit even if all others went.
        """
        loaded = self._loaded()
        plan = functools.partial(asyncio.to_thread, self._loader.plan, card)
        await plan(spare_bytes=_bytes_of(loaded))
        if self._config.max_models is not None and len(loaded) >= self._config.max_models:
            return None
        try:
            now = await plan()
        except ModelLoadFailed:
            return None
        # Where idle models make its context shorter, or keep it off a card, they go as well.
        if idle := [served for served in loaded if served.idle_seconds is not None]:
            then = await plan(spare_bytes=_bytes_of(idle))
            if (then.context_length, then.gpu_layers) != (now.context_length, now.gpu_layers):
                return None
        return now

    def _idlest(self) -> Served | None:
        """The model that can be spared most easily."""
        idle = [served for served in self._loaded() if served.idle_seconds is not None]
        return max(idle, key=lambda served: served.idle_seconds or 0.0, default=None)

    async def _unload_idle(self, keep_alive: float) -> None:
        while True:
            await asyncio.sleep(max(_POLL_SECONDS, min(1.0, keep_alive / 4)))
            async with self._changing:
                for served in self._loaded():
                    idle = served.idle_seconds
                    if idle is not None and idle >= keep_alive:
                        await unload(served)


def _own_adapter(card: ModelCard) -> str | None:
    """The name in the worker of the adapter that a bundle has."""
    return card.bundle.adapter_key if card.bundle is not None else None


def _bytes_of(loaded: Sequence[Served]) -> int:
    return sum(served.model.plan.estimated_bytes for served in loaded if served.model is not None)
