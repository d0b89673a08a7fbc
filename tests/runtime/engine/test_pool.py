"""Models are loaded once, unloaded when others need the room or nobody needs them, and restarted with patience."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.card import ModelCard
from runtime.config import PoolConfig
from runtime.engine.client import Sink
from runtime.engine.messages import Request
from runtime.engine.pool import ModelPool
from runtime.engine.statistics import EngineStatistics, Totals
from runtime.errors import (
    AdapterNotFound,
    Cancelled,
    DemoticError,
    ModelBusy,
    ModelFileInvalid,
    ModelLoadFailed,
    ModelNotFound,
    NoRoomForModel,
    QueueFull,
    WorkerDied,
)
from runtime.hardware.plan import Plan
from runtime.model import Model
from runtime.models.inspect import Header
from runtime.models.store import ModelFile
from tests.fakes.worker import PLAN

GIB = 2**30


class FakeClient:
    """An engine that is as idle, as busy or as dead as a test says."""

    context_length = 100
    pid = 1

    def __init__(self) -> None:
        self.is_busy = False
        self.is_closed = False
        self.fault: DemoticError | None = None
        self.idle_since = time.monotonic()
        self.statistics = EngineStatistics()

    @property
    def idle_seconds(self) -> float | None:
        return None if self.is_busy else time.monotonic() - self.idle_since

    def die(self, *, lacked_card_memory: bool = False) -> None:
        self.fault = WorkerDied("a", "was ended by SIGSEGV", lacked_card_memory=lacked_card_memory)
        self.is_busy = False
        self.idle_since = time.monotonic()

    def submit(self, request: Request, sink: Sink) -> None:
        raise NotImplementedError

    def abort(self, request_id: str) -> None:
        raise NotImplementedError

    def count(self, **totals: int) -> None:
        """Have done so much."""
        self.statistics = EngineStatistics(Totals(**totals))

    def close(self) -> None:
        self.is_closed = True


class FakeLoader:
    """A machine with `memory` bytes, and models that take one GiB and as much again for their whole context."""

    def __init__(self, memory: int = 100 * GIB, gpu_layers: int = 0) -> None:
        self.memory = memory
        self.gpu_layers = gpu_layers
        self.clients: list[FakeClient] = []
        self.names: list[str] = []
        self.num_read = 0
        self.attached: list[tuple[str, str]] = []
        self.fault: DemoticError | None = None
        self.may_load = threading.Event()
        self.may_load.set()

    def read(self, name: str) -> ModelCard:
        if self.fault:
            raise self.fault
        self.num_read += 1
        return ModelCard(ModelFile(name, Path(name), None, "path", None), Header.__new__(Header))

    def plan(self, card: ModelCard, *, spare_bytes: int = 0) -> Plan:
        taken = 2 * GIB * sum(not client.is_closed and client.fault is None for client in self.clients)
        left = self.memory - taken + spare_bytes
        if left < GIB:
            raise ModelLoadFailed("It does not fit.")
        is_whole = left >= 2 * GIB
        return dataclasses.replace(
            PLAN, context_length=100 if is_whole else 50, estimated_bytes=2 * GIB, gpu_layers=self.gpu_layers
        )

    def start(self, card: ModelCard, plan: Plan, progress: Callable[[float], bool]) -> Model:
        while not self.may_load.wait(0.01):
            if not progress(0.5):
                raise Cancelled("It was stopped.")
        client = FakeClient()
        self.names.append(card.name)
        self.clients.append(client)
        return Model(card, plan, client)

    def adapters(self, name: str) -> tuple[str, ...]:
        return ("dialect",) if name == "a" else ()

    def attach(self, model: Model, adapter: str) -> None:
        if adapter not in self.adapters(model.name):
            raise AdapterNotFound(adapter, known=self.adapters(model.name))
        self.attached.append((model.name, adapter))
        model.adapters[adapter] = 10


def client_of(model: Model) -> FakeClient:
    assert isinstance(model.client, FakeClient)
    return model.client


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_an_adapter_is_attached_when_it_is_first_asked_for_and_again_after_its_model_was_unloaded() -> None:
    loader = FakeLoader()
    pool = ModelPool(["a", "b"], loader, PoolConfig(max_models=1))
    for _ in range(2):
        await pool.get("a", "dialect")
    assert loader.attached == [("a", "dialect")]
    with pytest.raises(AdapterNotFound, match="It has none"):
        await pool.get("b", "dialect")
    await pool.get("a", "dialect")
    assert loader.attached == [("a", "dialect")] * 2
    await pool.close()


def test_a_name_is_a_models_own_before_it_is_a_model_and_an_adapter() -> None:
    pool = ModelPool(["a", "hf:org/repo:Q4_K_M"], FakeLoader())
    assert pool.split("a") == ("a", None)
    assert pool.split("a:dialect") == ("a", "dialect")
    assert pool.split("hf:org/repo:Q4_K_M") == ("hf:org/repo:Q4_K_M", None)
    assert pool.split("hf:org/repo:Q4_K_M:dialect") == ("hf:org/repo:Q4_K_M", "dialect")
    assert pool.split("c:dialect") == ("c:dialect", None)


async def test_concurrent_first_requests_load_a_model_once() -> None:
    loader = FakeLoader()
    loader.may_load.clear()
    pool = ModelPool(["a", "b"], loader)
    waiting = [asyncio.create_task(pool.get("a")) for _ in range(20)]
    await until(lambda: pool.states() == {"a": "loading", "b": "unloaded"})
    waiting[0].cancel()
    loader.may_load.set()
    models = await asyncio.gather(*waiting[1:])
    assert len({id(model) for model in models}) == 1
    assert loader.names == ["a"]
    assert pool.states() == {"a": "ready", "b": "unloaded"}
    await pool.close()
    assert all(client.is_closed for client in loader.clients)


async def test_without_a_name_the_first_model_answers_and_an_unknown_one_is_refused() -> None:
    pool = ModelPool(["alpha", "beta"], FakeLoader())
    assert (await pool.get(None)).name == "alpha"
    with pytest.raises(ModelNotFound, match="alpha"):
        await pool.get("alpa")
    await pool.close()


async def test_at_the_start_only_as_many_are_loaded_as_may_be() -> None:
    loader = FakeLoader()
    pool = ModelPool(["a", "b", "c"], loader, PoolConfig(max_models=2))
    await pool.preload()
    assert loader.names == ["a", "b"]
    await pool.close()


async def test_a_model_is_unloaded_when_it_is_told_to_and_loaded_again_by_the_next_request() -> None:
    pool = ModelPool(["a", "b"], FakeLoader())
    first, other = client_of(await pool.get("a")), client_of(await pool.get("b"))
    assert pool.loaded("a") is not None
    await pool.unload("a")
    assert first.is_closed
    assert not other.is_closed
    assert pool.loaded("a") is None
    assert pool.states() == {"a": "unloaded", "b": "ready"}
    await pool.unload("a")
    assert client_of(await pool.get("a")) is not first
    with pytest.raises(ModelNotFound):
        await pool.unload("c")
    await pool.close()


async def test_a_model_with_requests_is_unloaded_only_by_force() -> None:
    pool = ModelPool(["a"], FakeLoader())
    busy = client_of(await pool.get("a"))
    busy.is_busy = True
    with pytest.raises(ModelBusy, match="requests in flight"):
        await pool.unload("a")
    assert pool.states() == {"a": "ready"}
    await pool.unload("a", is_forced=True)
    assert busy.is_closed
    await pool.close()


async def test_a_model_that_is_being_loaded_is_not_unloaded() -> None:
    loader = FakeLoader()
    loader.may_load.clear()
    pool = ModelPool(["a"], loader)
    waiting = asyncio.create_task(pool.get("a"))
    await until(lambda: pool.states() == {"a": "loading"})
    with pytest.raises(ModelBusy, match="being loaded"):
        await pool.unload("a", is_forced=True)
    loader.may_load.set()
    assert not client_of(await waiting).is_closed
    await pool.close()


async def test_unloading_waits_for_what_is_being_loaded() -> None:
    loader = FakeLoader()
    pool = ModelPool(["a", "b"], loader)
    first = client_of(await pool.get("a"))
    loader.may_load.clear()
    waiting = asyncio.create_task(pool.get("b"))
    await until(lambda: pool.states()["b"] == "loading")
    unloading = asyncio.create_task(pool.unload("a"))
    await asyncio.sleep(0.1)
    assert pool.states() == {"a": "ready", "b": "loading"}
    loader.may_load.set()
    await asyncio.gather(waiting, unloading)
    assert first.is_closed
    await pool.close()


async def test_a_card_is_read_once_and_anew_when_its_model_is_loaded() -> None:
    loader = FakeLoader()
    known = loader.read("b")
    pool = ModelPool(["a", "b"], loader, cards={"b": known})
    assert await pool.card("b") is known
    card = await pool.card("a")
    assert await pool.card("a") is card
    assert loader.num_read == 2
    model = await pool.get("b")
    assert await pool.card("b") is model.card is not known
    await pool.close()


async def test_the_model_that_was_idle_longest_makes_room() -> None:
    loader = FakeLoader()
    pool = ModelPool(["a", "b", "c"], loader, PoolConfig(max_models=2))
    first, second = await pool.get("a"), await pool.get("b")
    client_of(first).idle_since += 10
    await pool.get("c")
    assert client_of(second).is_closed
    assert pool.states() == {"a": "ready", "b": "unloaded", "c": "ready"}
    await pool.close()


async def test_a_model_with_requests_is_never_unloaded_and_the_newcomer_waits_for_it() -> None:
    pool = ModelPool(["a", "b"], FakeLoader(), PoolConfig(max_models=1))
    busy = client_of(await pool.get("a"))
    busy.is_busy = True
    waiting = asyncio.create_task(pool.get("b"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    assert (await pool.get("a")).client is busy
    busy.is_busy = False
    assert (await waiting).name == "b"
    assert busy.is_closed
    await pool.close()


async def test_a_newcomer_that_waited_long_enough_is_told_to_come_again() -> None:
    pool = ModelPool(["a", "b"], FakeLoader(), PoolConfig(max_models=1, room_seconds=0.2))
    busy = client_of(await pool.get("a"))
    busy.is_busy = True
    with pytest.raises(NoRoomForModel) as refused:
        await pool.get("b")
    assert refused.value.retry_after >= 1
    assert not busy.is_closed
    await pool.close()


async def test_a_model_that_was_asked_for_is_not_unloaded_before_the_request_begins() -> None:
    pool = ModelPool(["a", "b"], FakeLoader(), PoolConfig(max_models=1))

    async def begin(name: str) -> FakeClient:
        client = client_of(await pool.get(name))
        assert not client.is_closed
        return client

    for _ in range(20):
        await asyncio.gather(*(begin(name) for name in "abab"))
    await pool.close()


@pytest.mark.parametrize("memory", [3 * GIB, 5 * GIB // 2, 2 * GIB])
async def test_idle_models_go_where_a_newcomer_would_not_fit_or_not_with_its_whole_context(memory: int) -> None:
    loader = FakeLoader(memory)
    pool = ModelPool(["a", "b"], loader)
    first = await pool.get("a")
    second = await pool.get("b")
    assert client_of(first).is_closed
    assert second.plan.context_length == 100
    await pool.close()


async def test_busy_models_stay_and_the_newcomer_takes_the_context_that_is_left() -> None:
    pool = ModelPool(["a", "b"], FakeLoader(3 * GIB))
    busy = client_of(await pool.get("a"))
    busy.is_busy = True
    assert (await pool.get("b")).plan.context_length == 50
    assert not busy.is_closed
    await pool.close()


async def test_a_model_that_never_fits_is_refused_and_no_other_goes_for_it() -> None:
    loader = FakeLoader()
    pool = ModelPool(["a", "b"], loader)
    first = client_of(await pool.get("a"))
    loader.memory = 0
    with pytest.raises(ModelLoadFailed):
        await pool.get("b")
    assert not first.is_closed
    assert pool.states() == {"a": "ready", "b": "failed"}
    await pool.close()


async def test_a_model_that_nobody_asks_for_is_unloaded_after_a_while_and_loaded_again_when_asked_for() -> None:
    loader = FakeLoader()
    pool = ModelPool(["a", "b"], loader, PoolConfig(keep_alive=0.2))
    idle, busy = client_of(await pool.get("a")), client_of(await pool.get("b"))
    busy.is_busy = True
    await until(lambda: idle.is_closed)
    await asyncio.sleep(0.3)
    assert not busy.is_closed
    assert pool.states() == {"a": "unloaded", "b": "ready"}
    assert client_of(await pool.get("a")) is not idle
    await pool.close()


async def test_a_model_that_died_is_restarted_at_once_and_then_with_growing_delays() -> None:
    loader = FakeLoader()
    pool = ModelPool(["a", "b"], loader, PoolConfig(restart_delays=(0.0, 0.3, 5.0)))
    other = client_of(await pool.get("b"))
    client_of(await pool.get("a")).die()
    assert pool.states()["a"] == "failed"
    client_of(await pool.get("a")).die()
    with pytest.raises(WorkerDied, match="SIGSEGV") as refused:
        await pool.get("a")
    assert refused.value.retry_after == 1
    await asyncio.sleep(0.4)
    client_of(await pool.get("a")).die()
    with pytest.raises(WorkerDied) as refused:
        await pool.get("a")
    assert refused.value.retry_after == 5
    assert client_of(await pool.get("b")) is other
    assert loader.names == ["b", "a", "a", "a"]
    await pool.close()


async def test_a_model_whose_card_ran_out_of_memory_is_loaded_with_half_of_its_layers_there_until_it_is_unloaded() -> (
    None
):
    loader = FakeLoader(gpu_layers=20)
    pool = ModelPool(["a"], loader, PoolConfig(restart_delays=(0.0, 60.0)))
    first = await pool.get("a")
    client_of(first).die(lacked_card_memory=True)
    second = await pool.get("a")
    assert (first.plan.gpu_layers, second.plan.gpu_layers) == (20, 10)
    assert "ran out of memory with 20 layers: 10 are left" in second.plan.reasons["gpu_layers"]
    client_of(second).die(lacked_card_memory=True)
    with pytest.raises(WorkerDied, match="with less of it on the card"):
        await pool.get("a")
    await pool.close()
    again = ModelPool(["a"], loader, PoolConfig(restart_delays=(0.0,)))
    client_of(await again.get("a")).die(lacked_card_memory=True)
    await again.get("a")
    await again.unload("a")
    assert (await again.get("a")).plan.gpu_layers == 20
    # Where nothing of it is planned for the card by then, nothing is left to move back.
    client_of(await again.get("a")).die(lacked_card_memory=True)
    loader.gpu_layers = 0
    assert (await again.get("a")).plan.reasons == PLAN.reasons
    await again.close()


async def test_a_model_that_lived_long_enough_is_restarted_at_once_again() -> None:
    pool = ModelPool(["a"], FakeLoader(), PoolConfig(restart_delays=(0.0, 60.0), stable_seconds=0.1))
    for _ in range(3):
        client = client_of(await pool.get("a"))
        await asyncio.sleep(0.15)
        client.die()
    await pool.get("a")
    await pool.close()


async def test_a_model_that_dies_while_it_is_loaded_is_waited_for_too() -> None:
    loader = FakeLoader()
    pool = ModelPool(["a"], loader, PoolConfig(restart_delays=(0.0, 60.0)))
    loader.fault = WorkerDied("a", "was ended by SIGKILL")
    for _ in range(2):
        with pytest.raises(WorkerDied):
            await pool.get("a")
    loader.fault = None
    with pytest.raises(WorkerDied) as refused:
        await pool.get("a")
    assert refused.value.retry_after > 50
    await pool.close()


async def test_a_model_that_could_not_be_loaded_is_tried_again_by_the_next_request() -> None:
    loader = FakeLoader()
    loader.fault = ModelFileInvalid("It is damaged.")
    pool = ModelPool(["a"], loader)
    with pytest.raises(ModelFileInvalid):
        await pool.get("a")
    assert pool.states() == {"a": "failed"}
    loader.fault = None
    await pool.get("a")
    assert pool.states() == {"a": "ready"}
    await pool.close()


async def test_closing_stops_what_is_being_loaded_and_loads_nothing_more() -> None:
    loader = FakeLoader()
    loader.may_load.clear()
    pool = ModelPool(["a"], loader)
    waiting = asyncio.create_task(pool.get("a"))
    await until(lambda: pool.states() == {"a": "loading"})
    await pool.close()
    with pytest.raises(Cancelled):
        await waiting
    with pytest.raises(Cancelled):
        await pool.get("a")
    assert loader.names == []


async def test_as_many_requests_wait_for_a_model_as_may_and_the_next_is_told_to_come_again_at_once() -> None:
    loader = FakeLoader()
    loader.may_load.clear()
    pool = ModelPool(["a", "b"], loader, max_waiting=3)
    waiting = [asyncio.create_task(pool.get("a")) for _ in range(3)]
    await until(lambda: pool.states() == {"a": "loading", "b": "unloaded"})
    with pytest.raises(QueueFull, match="3 requests wait already") as refused:
        await asyncio.wait_for(pool.get("a"), 1)
    assert refused.value.retry_after >= 1
    # One that leaves makes room for another, and other models have queues of their own.
    waiting[0].cancel()
    await asyncio.wait({waiting[0]})
    waiting[0] = asyncio.create_task(pool.get("a"))
    other = asyncio.create_task(pool.get("b"))
    await asyncio.sleep(0.05)
    loader.may_load.set()
    assert {model.name for model in await asyncio.gather(*waiting, other)} == {"a", "b"}
    # Nobody waits for a model that is there.
    assert len(await asyncio.gather(*(pool.get("a") for _ in range(10)))) == 10
    await pool.close()


async def test_a_model_that_is_held_stays_until_it_is_let_go() -> None:
    pool = ModelPool(["a", "b"], FakeLoader(), PoolConfig(max_models=1))
    async with pool.hold("a") as (held, _):
        newcomer = asyncio.create_task(pool.get("b"))
        await asyncio.sleep(0.3)
        assert not client_of(held).is_closed
    assert (await newcomer).name == "b"
    assert client_of(held).is_closed
    await pool.close()


async def test_what_a_model_s_processes_have_done_is_added_up_and_never_falls() -> None:
    pool = ModelPool(["a", "b"], FakeLoader(), PoolConfig(max_models=1))

    def steps() -> int:
        return pool.statistics()["a"].totals.steps

    first = client_of(await pool.get("a"))
    first.count(steps=5)
    assert steps() == 5
    first.die()
    assert steps() == 5
    second = client_of(await pool.get("a"))
    assert steps() == 5
    second.count(steps=2)
    assert steps() == 7
    await pool.get("b")
    assert second.is_closed
    # It told of its last step when it was closed.
    second.count(steps=3)
    assert steps() == 8
    await pool.get("a")
    assert steps() == 8
    await pool.close()
    assert steps() == 8


async def test_only_a_model_that_is_loaded_has_an_engine_and_a_process() -> None:
    pool = ModelPool(["a"], FakeLoader())
    assert (pool.statistics()["a"].engine, pool.statistics()["a"].pid) == (None, None)
    client = client_of(await pool.get("a"))
    assert (pool.statistics()["a"].engine, pool.statistics()["a"].pid) == (client.statistics, client.pid)
    client.die()
    assert (pool.statistics()["a"].engine, pool.statistics()["a"].pid) == (None, None)
    await pool.close()


async def test_a_restart_is_a_start_after_a_death_and_no_other() -> None:
    loader = FakeLoader()
    pool = ModelPool(["a", "b"], loader, PoolConfig(max_models=1, restart_delays=(0.0,)))

    def restarts() -> int:
        return pool.statistics()["a"].restarts

    await pool.get("a")
    await pool.get("b")
    # Unloaded, not dead.
    client_of(await pool.get("a")).die()
    assert restarts() == 0
    loader.fault = ModelFileInvalid("It is damaged.")
    with pytest.raises(ModelFileInvalid):
        await pool.get("a")
    assert restarts() == 0
    loader.fault = None
    await pool.get("a")
    assert restarts() == 1
    assert pool.statistics()["b"].restarts == 0
    await pool.close()


async def test_a_client_is_known_by_the_name_it_serves_until_another_takes_its_place() -> None:
    pool = ModelPool(["a", "b"], FakeLoader())
    first, other = client_of(await pool.get("a")), client_of(await pool.get("b"))
    assert (pool.name_of(first), pool.name_of(other)) == ("a", "b")
    first.die()
    assert pool.name_of(first) == "a"
    second = client_of(await pool.get("a"))
    assert (pool.name_of(first), pool.name_of(second)) == (None, "a")
    await pool.close()


async def test_how_much_is_loaded_is_told_while_it_is() -> None:
    loader = FakeLoader()
    loader.may_load.clear()
    pool = ModelPool(["a", "b"], loader, PoolConfig())
    assert pool.progress("a") is None
    loading = asyncio.create_task(pool.get("a"))
    await until(lambda: pool.progress("a") == 0.5)
    assert pool.progress("b") is None
    loader.may_load.set()
    await loading
    assert pool.progress("a") is None
    await pool.close()
