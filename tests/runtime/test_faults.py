"""What goes wrong with one model's process costs its own requests, each with a clear error, and nothing else."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import httpx
import psutil
import pytest

from runtime.config import EngineConfig, PoolConfig, WorkerConfig
from tests.endpoint import LocalEndpoint, local_endpoint
from tests.server import ServerProcess, serving
from tests.tiny.gguf import write_tiny_gguf

CHAT = "smollm2-135m-instruct"
PATIENCE = 90.0


@pytest.fixture(scope="module")
def models(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    tiny = write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", context_length=2048)
    return {"smol": smollm2_path, "tiny": tiny}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.05)


async def fail_in_mid_stream(endpoint: LocalEndpoint, ending: signal.Signals) -> dict[str, str]:
    """Send the signal to the first model's process while it answers; the error object that the stream ended with."""
    worker = await endpoint.worker("smol")
    other = await endpoint.worker("tiny")
    async with asyncio.timeout(PATIENCE), aclosing(endpoint.stream("smol")) as events:
        await anext(events)
        worker.send_signal(ending)
        last = [event async for event in events][-1]
        answer = await endpoint.complete("tiny")
        assert answer.status_code == 200
    assert (await endpoint.complete("smol")).status_code == 200
    assert (await endpoint.worker("smol")).pid != worker.pid
    assert (await endpoint.worker("tiny")).pid == other.pid
    assert not worker.is_running()
    return dict(last["error"])


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGABRT])
async def test_a_worker_that_dies_in_mid_stream_fails_its_requests_and_the_next_gets_a_new_one(
    models: dict[str, Path], ending: signal.Signals
) -> None:
    async with local_endpoint(models) as endpoint:
        error = await fail_in_mid_stream(endpoint, ending)
    assert error["code"] == "worker_died"
    assert f"The worker of smol was ended by {ending.name}" in error["message"]


async def test_a_worker_that_is_stopped_in_mid_stream_is_noticed_and_replaced(models: dict[str, Path]) -> None:
    async with local_endpoint(models, worker_config=WorkerConfig(silence_seconds=3)) as endpoint:
        error = await fail_in_mid_stream(endpoint, signal.SIGSTOP)
    assert "gave no sign of life for 3 s" in error["message"]


async def test_a_worker_that_dies_again_and_again_is_restarted_with_patience(models: dict[str, Path]) -> None:
    pool_config = PoolConfig(restart_delays=(0.0, 60.0))
    async with local_endpoint(models, pool_config=pool_config) as endpoint:
        for _ in range(2):
            (await endpoint.worker("tiny")).kill()
            await until(lambda: endpoint.pool.states()["tiny"] == "failed")
            answer = await endpoint.complete("tiny")
            states = await endpoint.states()
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "worker_died"
        assert 50 < int(answer.headers["retry-after"]) <= 60
        assert states == {"smol": "unloaded", "tiny": "failed"}


async def test_a_model_file_that_is_deleted_goes_on_answering_and_is_missed_at_the_next_start(
    models: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "deleted.gguf"
    shutil.copy(models["tiny"], path)
    async with local_endpoint({"tiny": path}) as endpoint:
        before = (await endpoint.complete("tiny", 20)).json()["choices"]
        path.unlink()
        assert (await endpoint.complete("tiny", 20)).json()["choices"] == before
        (await endpoint.worker("tiny")).kill()
        await until(lambda: endpoint.pool.states()["tiny"] == "failed")
        answer = await endpoint.complete("tiny")
        assert answer.status_code == 500
        assert "deleted.gguf" in answer.json()["error"]["message"]
        health = await endpoint.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "failed")
        shutil.copy(models["tiny"], path)
        assert (await endpoint.complete("tiny", 20)).json()["choices"] == before


async def test_unloading_gives_the_memory_back_and_waits_for_requests_in_flight(models: dict[str, Path]) -> None:
    others = set(psutil.Process().children(recursive=True))
    async with local_endpoint(models, pool_config=PoolConfig(max_models=1)) as endpoint:
        assert (await endpoint.complete("smol")).status_code == 200
        worker = await endpoint.worker("smol")
        taken = worker.memory_info().rss
        assert taken > 50 * 2**20
        async with aclosing(endpoint.stream("smol", 60)) as events:
            await anext(events)
            newcomer = asyncio.create_task(endpoint.complete("tiny"))
            rest = [event async for event in events]
        assert "error" not in rest[-1]
        assert (await newcomer).status_code == 200
        assert not worker.is_running()
        assert await endpoint.states() == {"smol": "unloaded", "tiny": "ready"}
        tree = set(psutil.Process().children(recursive=True)) - others
        assert sum(child.memory_info().rss for child in tree) < taken


async def test_concurrent_first_requests_load_a_model_once(models: dict[str, Path]) -> None:
    before = set(psutil.Process().children())
    async with local_endpoint(models) as endpoint:
        answers = await asyncio.gather(*(endpoint.complete("tiny", 2) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(set(psutil.Process().children()) - before) == 1


async def test_of_200_clients_at_once_each_is_answered_or_told_to_come_again_at_once(models: dict[str, Path]) -> None:
    limits = EngineConfig(max_context=2048, max_sequences=4, max_waiting=32)
    async with local_endpoint(models, limits=limits) as endpoint:
        await endpoint.pool.get("smol")
        refused_after: list[float] = []

        async def ask(number: int) -> int:
            started = time.monotonic()
            answer = await endpoint.complete("smol", 8, prompt=f"The number {number} is")
            if answer.status_code == 429:
                refused_after.append(time.monotonic() - started)
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.json()["error"]["code"] == "queue_full"
            return answer.status_code

        started = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            statuses = await asyncio.gather(*(ask(number) for number in range(200)))
        seconds = time.monotonic() - started
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 32
    # Sending 200 requests takes a while on its own; nobody who was refused waited for the answers of the others.
    assert sorted(refused_after)[len(refused_after) // 2] < seconds / 2


async def test_clients_that_leave_at_random_moments_leave_nothing_behind(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint:
        worker, here = await endpoint.worker("smol"), psutil.Process()
        await endpoint.complete("smol")
        client = (await endpoint.pool.get("smol")).client
        before = (len(asyncio.all_tasks()), here.num_fds(), worker.num_fds(), worker.num_threads())
        dice = random.Random(3)  # noqa: S311  # the same moments each time

        async def leave() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(dice.uniform(0.05, 2.0)):
                    async with httpx.AsyncClient(base_url=endpoint.http.base_url) as own:
                        await LocalEndpoint(endpoint.server, endpoint.pool, own).complete(
                            "smol", 1500, prompt="Once " * 200
                        )

        await asyncio.gather(*(leave() for _ in range(50)))
        await until(lambda: client.idle_seconds is not None)

        def now() -> tuple[int, int, int, int]:
            return len(asyncio.all_tasks()), here.num_fds(), worker.num_fds(), worker.num_threads()

        await until(lambda: now() <= before)
        # Nothing is computed any more.
        used = worker.cpu_times().user
        await asyncio.sleep(0.5)
        assert worker.cpu_times().user - used < 0.2
        assert (await endpoint.complete("smol")).status_code == 200


def children_of(server: ServerProcess) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def test_a_server_that_is_killed_takes_its_workers_with_it(models: dict[str, Path]) -> None:
    with serving(str(models["tiny"]), "--context", "256") as server:
        (worker,) = children_of(server)
        server.process.kill()
        assert psutil.wait_procs([worker], timeout=PATIENCE)[1] == []


def test_a_model_is_unloaded_after_the_keep_alive_and_loaded_again_for_a_request(models: dict[str, Path]) -> None:
    with (
        serving(str(models["tiny"]), "--context", "256", "--keep-alive", "0.5") as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as http,
    ):
        deadline = time.monotonic() + PATIENCE
        while children_of(server) and time.monotonic() < deadline:
            time.sleep(0.1)
        health = http.get("/health")
        assert (health.status_code, health.json()) == (200, {"status": "ok", "models": {"tiny": "unloaded"}})
        answer = http.post("/v1/completions", json={"prompt": "a", "max_tokens": 2})
        assert answer.status_code == 200


def test_two_servers_on_one_machine_do_not_know_of_each_other(models: dict[str, Path]) -> None:
    with serving(str(models["tiny"]), "--context", "256") as first:
        with serving(str(models["tiny"]), "--context", "256") as second:
            for server in (first, second):
                answer = httpx.post(f"{server.base_url}/completions", json={"prompt": "a", "max_tokens": 2})
                assert answer.status_code == 200
        answer = httpx.post(f"{first.base_url}/completions", json={"prompt": "a", "max_tokens": 2})
        assert answer.status_code == 200


def test_a_server_that_is_asked_to_stop_lets_streams_run_to_their_end_and_leaves_with_0(
    models: dict[str, Path],
) -> None:
    with serving("smollm2-135m-instruct", "--context", "512") as server:
        workers = children_of(server)
        body = {"prompt": "Once", "max_tokens": 40, "stream": True}
        with httpx.stream("POST", f"{server.base_url}/completions", json=body, timeout=PATIENCE) as response:
            lines = response.iter_lines()
            next(lines)
            # To all of them, as a terminal or a service manager sends it.
            server.process.terminate()
            workers[0].terminate()
            rest = list(lines)
        assert rest[-2] == "data: [DONE]"
        assert server.process.wait(PATIENCE) == 0
        assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []
        assert "demotic serves" in server.lines[-1]


async def test_a_stream_that_outlasts_the_server_s_patience_ends_with_an_error(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint:
        async with asyncio.timeout(PATIENCE), aclosing(endpoint.stream("smol")) as events:
            await anext(events)
            endpoint.server.should_exit = True
            last = [event async for event in events][-1]
        assert "unloaded" in last["error"]["message"]


def test_health_tells_loading_from_ready(models: dict[str, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "demotic", "serve", str(models["tiny"]), "--context", "256", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (workers := psutil.Process(server.pid).children()) and time.monotonic() < deadline:
            time.sleep(0.005)
        # It needs some time before it can load anything; now it needs more.
        workers[0].send_signal(signal.SIGSTOP)
        health = httpx.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE)
        assert (health.status_code, health.json()) == (200, {"status": "loading", "models": {"tiny": "loading"}})
        workers[0].send_signal(signal.SIGCONT)
        assert server.stderr is not None
        assert server.stderr.readline() == f"demotic loads tiny; port {port} tells how far that is\n"
        assert "demotic serves tiny" in server.stderr.readline()
        health = httpx.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE)
        assert health.json() == {"status": "ok", "models": {"tiny": "ready"}}
    finally:
        server.terminate()
        server.communicate(timeout=PATIENCE)


def test_a_server_that_is_asked_to_stop_while_it_loads_leaves_at_once_with_0(models: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "demotic", "serve", str(models["tiny"]), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while not (workers := psutil.Process(server.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.005)
    workers[0].send_signal(signal.SIGSTOP)
    server.terminate()
    _, errors = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0
    assert re.fullmatch(r"(demotic loads tiny; port \d+ tells how far that is\n)?", errors)
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []
