"""One served name, and what becomes of its model: loaded, idle, died, loaded again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Literal

from runtime.engine.client import EngineClient
from runtime.engine.statistics import EngineStatistics, Totals
from runtime.errors import DemoticError, WorkerDied
from runtime.model import Model

ModelState = Literal["unloaded", "loading", "ready", "failed"]


@dataclass(frozen=True)
class ModelStatistics:
    """One served model: the `totals` of all processes that it has had, `engine` and `pid` of the present one.

    `restarts` counts processes that were started because the one before had died. `adapter_bytes` are those of the
    adapters that are loaded.
    """

    state: ModelState
    restarts: int
    totals: Totals
    engine: EngineStatistics | None
    pid: int | None
    adapter_bytes: int = 0


@dataclass
class Served:
    """One name, and what has become of its model.

    Several names may have one: those of bundles on one model, of which `name` is the first. `share` is how much of it
    is loaded, from 0 to 1, while it is `loading`. `claims` counts requests that ask for the model or hold it,
    `num_waiting` those that wait for it to be loaded, `deaths` those of its process in a row. `lacked_card_memory` is
    whether one of them was for want of a card's memory, since the model was unloaded last. `fault` is why it could not
    be loaded, or died; None when it is loaded again. `client` is that of the model, or of the one before, which is no
    more; `past` is what those before it have counted.
    """

    name: str
    model: Model | None = None
    loading: asyncio.Task[None] | None = None
    share: float = 0.0
    claims: int = 0
    num_waiting: int = 0
    loaded_at: float = 0.0
    fault: DemoticError | None = None
    failed_at: float = 0.0
    deaths: int = 0
    has_died: bool = False
    lacked_card_memory: bool = False
    restarts: int = 0
    client: EngineClient | None = None
    past: Totals = field(default_factory=Totals)

    @property
    def idle_seconds(self) -> float | None:
        """Since when the model could be spared; None while it cannot, or is not loaded."""
        if self.model is None or self.claims or (idle := self.model.client.idle_seconds) is None:
            return None
        return min(idle, time.monotonic() - self.loaded_at)

    @property
    def totals(self) -> Totals:
        """What all its processes have counted."""
        return self.past if self.client is None else self.past + self.client.statistics.totals

    def take(self, model: Model) -> None:
        """Note that the model is loaded."""
        self.past = self.totals
        self.model, self.client = model, model.client
        self.loaded_at = time.monotonic()
        self.fault = None

    def bury(self, stable_seconds: float) -> None:
        """Let go of the model where its process has died; nothing is left of it that could be closed."""
        if self.model is not None and isinstance(fault := self.model.client.fault, WorkerDied):
            died_at = time.monotonic() - (self.model.client.idle_seconds or 0.0)
            if died_at - self.loaded_at >= stable_seconds:
                self.deaths = 0
            self.model = None
            self.fail(fault, died_at)

    def fail(self, fault: DemoticError, at: float) -> None:
        """Note why there is no model."""
        self.fault = fault
        self.failed_at = at
        if isinstance(fault, WorkerDied):
            self.deaths += 1
            self.has_died = True
            self.lacked_card_memory |= fault.lacked_card_memory


async def unload(served: Served) -> None:
    """Give the memory of a model back, where it is loaded."""
    model, served.model = served.model, None
    if model is not None:
        served.lacked_card_memory = False
        await asyncio.to_thread(model.close)
