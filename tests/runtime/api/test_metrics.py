"""What /metrics says is what was done: real workers, and Prometheus's own parser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from runtime.config import EngineConfig, PoolConfig
from tests.docs.render import REPOSITORY
from tests.endpoint import LocalEndpoint, local_endpoint
from tests.tiny.gguf import write_tiny_gguf

PATIENCE = 60.0
TEXT_PATH = "/v1/completions"
LONG = "the world and the land in the " * 12
# The end tokens of both models: so an answer has as many tokens as were asked for.
ENDLESS: dict[str, Any] = {"logit_bias": {"0": -100, "2": -100}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        name: write_tiny_gguf(folder / f"{name}.gguf", context_length=2048, seed=seed)
        for seed, name in enumerate(("tiny", "other"))
    }


class Figures:
    """One reading of /metrics."""

    def __init__(self, text: str) -> None:
        self.families: list[Metric] = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def get(self, name: str, **labels: str) -> float | None:
        """The value of a sample with exactly these labels; None where there is none."""
        found = [sample.value for sample in self.samples if (sample.name, sample.labels) == (name, labels)]
        assert len(found) < 2
        return found[0] if found else None

    def of(self, name: str, model: str = "tiny") -> float | None:
        return self.get(name, model=model)


async def read(endpoint: LocalEndpoint) -> Figures:
    response = await endpoint.http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return Figures(response.text)


async def until(endpoint: LocalEndpoint, is_so: Callable[[Figures], bool]) -> Figures:
    """Read again and again until the figures are so: those of workers are up to a second old."""
    async with asyncio.timeout(PATIENCE):
        while not is_so(figures := await read(endpoint)):
            await asyncio.sleep(0.1)
    return figures


def usage_of(response: httpx.Response) -> tuple[int, int, int]:
    """Tokens of the prompt, of them cached, and of the answer."""
    assert response.status_code == 200
    usage = response.json()["usage"]
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]


async def test_tokens_steps_and_answers_are_those_of_the_requests(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint:
        usages = [usage_of(await endpoint.complete("tiny", 20, prompt=LONG + end, **ENDLESS)) for end in ("one", "two")]
        prompt, cached, generated = (sum(counts) for counts in zip(*usages, strict=True))
        assert cached > 32
        figures = await until(endpoint, lambda now: now.of("demotic_decode_tokens_total") == generated)
    assert generated == 40
    assert figures.of("demotic_prefill_tokens_total") == prompt - cached
    assert figures.of("demotic_cached_tokens_total") == cached
    assert figures.of("demotic_preemptions_total") == 0
    # One request at a time, each with a step for the prompt, which gives the first token; a guess that was right saves one.
    right = figures.of("demotic_accepted_tokens_total")
    assert right is not None and right <= (figures.of("demotic_drafted_tokens_total") or 0)
    assert figures.of("demotic_batch_size_count") == figures.of("demotic_batch_size_sum") == generated - right
    assert figures.get("demotic_answers_total", endpoint=TEXT_PATH, model="tiny", outcome="length") == 2
    assert figures.get("demotic_http_requests_total", endpoint=TEXT_PATH, status="200") == 2
    assert figures.get("demotic_http_requests_in_flight") == 1
    assert figures.of("demotic_sequences_kept") == 2
    cells, free = figures.of("demotic_kv_cells"), figures.of("demotic_kv_cells_free")
    assert cells is not None
    assert free is not None
    # The cells of both prompts and answers, but for the shared ones and the last token of each.
    assert cells - free == prompt - cached + generated - 2
    for name in ("prefill_tokens_total", "decode_tokens_total", "batch_size_count"):
        assert figures.of(f"demotic_{name}", "other") == 0
    assert figures.of("demotic_kv_cells", "other") is None


async def test_times_are_counted_once_for_the_first_piece_of_text_and_once_between_two(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint:
        started = asyncio.get_running_loop().time()
        events = [event async for event in endpoint.stream("tiny", 50, **ENDLESS)]
        seconds = asyncio.get_running_loop().time() - started
        figures = await read(endpoint)
    pieces = [text for event in events for choice in event["choices"] if (text := choice["text"])]
    assert len(pieces) > 5
    assert figures.of("demotic_time_to_first_token_seconds_count") == 1
    assert figures.of("demotic_inter_token_latency_seconds_count") == len(pieces) - 1
    first = figures.of("demotic_time_to_first_token_seconds_sum")
    between = figures.of("demotic_inter_token_latency_seconds_sum")
    assert first is not None
    assert between is not None
    assert min(first, between) > 0
    # All of it but the way there and back: the loading of the model, which is the longest part, is in it.
    assert seconds / 2 < first + between <= seconds
    assert figures.get("demotic_time_to_first_token_seconds_bucket", model="tiny", le="60.0") == 1
    assert figures.of("demotic_time_to_first_token_seconds_count", "other") == 0


async def test_a_full_queue_shows_and_what_it_refuses_is_counted(smollm2_path: Path) -> None:
    limits = EngineConfig(max_context=2048, max_sequences=1, max_waiting=2)
    # The tiny model would be done before its next pulse.
    async with local_endpoint({"smol": smollm2_path}, limits=limits) as endpoint:
        await endpoint.complete("smol", 1)

        def ask() -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(endpoint.complete("smol", 1500, **ENDLESS))

        tasks = [ask()]
        await until(endpoint, lambda now: now.of("demotic_requests_running", "smol") == 1)
        tasks += [ask() for _ in range(3)]
        figures = await until(endpoint, lambda now: now.of("demotic_requests_waiting", "smol") == 2)
        assert figures.of("demotic_requests_running", "smol") == 1
        assert figures.get("demotic_http_requests_in_flight") == 4
        assert figures.get("demotic_http_requests_total", endpoint=TEXT_PATH, status="429") == 1
        assert figures.get("demotic_answers_total", endpoint=TEXT_PATH, model="smol", outcome="queue_full") == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        gone = {"endpoint": TEXT_PATH, "status": "499"}
        figures = await until(endpoint, lambda now: now.get("demotic_http_requests_total", **gone) == 3)
        assert figures.get("demotic_answers_total", endpoint=TEXT_PATH, model="smol", outcome="cancelled") == 3
        assert figures.get("demotic_http_requests_in_flight") == 1
        figures = await until(endpoint, lambda now: now.of("demotic_requests_running", "smol") == 0)
        assert figures.of("demotic_requests_waiting", "smol") == 0


async def test_many_requests_at_once_make_a_batch(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint:
        await endpoint.complete("tiny", 1, **ENDLESS)
        await asyncio.gather(*(endpoint.complete("tiny", 1000, prompt=f"{number}", **ENDLESS) for number in range(4)))
        figures = await until(endpoint, lambda now: now.of("demotic_decode_tokens_total") == 4001)
    steps, requests = figures.of("demotic_batch_size_count"), figures.of("demotic_batch_size_sum")
    assert steps is not None
    assert requests is not None
    assert 2 < requests / steps <= 4


async def test_what_is_refused_is_counted_and_nothing_that_a_client_made_up_is_a_label(models: dict[str, Path]) -> None:
    async with local_endpoint(models, api_keys=("key",)) as endpoint:
        post = endpoint.http.post
        endpoint.http.headers["authorization"] = "Bearer key"
        await post(TEXT_PATH, json={"prompt": "a", "max_tokens": 0})
        await post(TEXT_PATH, json={"prompt": "a", "model": "invented"})
        await post(TEXT_PATH, json={"prompt": "a", "max_tokens": 100_000})
        await endpoint.http.get("/v1/models/invented")
        await endpoint.http.get("/v1/models/tiny")
        await endpoint.http.get(TEXT_PATH)
        await endpoint.http.get("/invented")
        await endpoint.http.request("INVENTED", "/health")
        text = (await endpoint.http.get("/metrics")).text
        del endpoint.http.headers["authorization"]
        assert (await endpoint.http.get("/metrics")).status_code == 401
        await post(TEXT_PATH, json={"prompt": "a"})
        endpoint.http.headers["authorization"] = "Bearer key"
        figures = await read(endpoint)

    def count(path: str, status: int) -> float | None:
        return figures.get("demotic_http_requests_total", endpoint=path, status=str(status))

    assert (count(TEXT_PATH, 400), count(TEXT_PATH, 404), count(TEXT_PATH, 405)) == (2, 1, 1)
    assert (count("/v1/models/{name:path}", 404), count("/v1/models/{name:path}", 200)) == (1, 1)
    assert (count("other", 404), count("other", 401), count("/metrics", 200)) == (1, 2, 1)
    overlong = {"endpoint": TEXT_PATH, "model": "tiny", "outcome": "context_length_exceeded"}
    assert figures.get("demotic_answers_total", **overlong) == 1
    assert "invented" not in text.lower()


async def test_a_fault_of_the_server_s_own_is_counted_as_one(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_endpoint(models) as endpoint:
        monkeypatch.setattr(endpoint.pool, "nearest", None)
        assert (await endpoint.http.get("/v1/models/x")).status_code == 500
        figures = await read(endpoint)
    assert figures.get("demotic_http_requests_total", endpoint="/v1/models/{name:path}", status="500") == 1


async def test_a_worker_that_dies_is_a_restart_and_takes_no_count_with_it(
    models: dict[str, Path], smollm2_path: Path
) -> None:
    async with local_endpoint({"smol": smollm2_path, "tiny": models["tiny"]}) as endpoint:

        def of(figures: Figures, name: str) -> float | None:
            return figures.of(name, "smol")

        await endpoint.complete("smol", 30, **ENDLESS)
        await until(endpoint, lambda now: of(now, "demotic_decode_tokens_total") == 30)
        worker = await endpoint.worker("smol")
        async with asyncio.timeout(PATIENCE), aclosing(endpoint.stream("smol", 1500, **ENDLESS)) as events:
            await anext(events)
            worker.kill()
            assert "error" in [event async for event in events][-1]
        figures = await until(endpoint, lambda now: now.get("demotic_model_state", model="smol", state="failed") == 1)
        done = of(figures, "demotic_decode_tokens_total")
        assert done is not None
        assert done >= 30
        assert of(figures, "demotic_worker_restarts_total") == 0
        assert of(figures, "demotic_worker_resident_memory_bytes") is None
        assert of(figures, "demotic_requests_running") is None
        assert figures.get("demotic_answers_total", endpoint=TEXT_PATH, model="smol", outcome="worker_died") == 1
        # The stream had begun, so its status says nothing of its end.
        assert figures.get("demotic_http_requests_total", endpoint=TEXT_PATH, status="200") == 2
        await endpoint.complete("smol", 7, **ENDLESS)
        figures = await until(endpoint, lambda now: of(now, "demotic_decode_tokens_total") == done + 7)
        assert of(figures, "demotic_worker_restarts_total") == 1
        assert figures.of("demotic_worker_restarts_total", "tiny") == 0
        states = {"unloaded": 0, "loading": 0, "ready": 1, "failed": 0}
        assert {state: figures.get("demotic_model_state", model="smol", state=state) for state in states} == states


async def test_a_model_that_makes_room_keeps_its_totals_to_the_last_token(models: dict[str, Path]) -> None:
    async with local_endpoint(models, pool_config=PoolConfig(max_models=1)) as endpoint:
        for _ in range(2):
            for name in models:
                usage_of(await endpoint.complete(name, 25, **ENDLESS))
        figures = await until(endpoint, lambda now: now.of("demotic_decode_tokens_total", "other") == 50)
        assert figures.of("demotic_decode_tokens_total", "tiny") == 50
        assert figures.of("demotic_worker_restarts_total", "tiny") == 0
        assert figures.of("demotic_worker_resident_memory_bytes", "tiny") is None


async def test_memory_is_that_of_the_processes(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint:
        await endpoint.complete("tiny")
        worker, server = await endpoint.worker("tiny"), psutil.Process()
        figures = await read(endpoint)
        told = [
            (figures.of("demotic_worker_resident_memory_bytes"), worker.memory_info().rss),
            (figures.get("demotic_server_resident_memory_bytes"), server.memory_info().rss),
        ]
    for shown, there in told:
        assert shown is not None
        assert abs(shown - there) < 0.2 * there


def documented() -> dict[str, tuple[str, set[str]]]:
    """Name -> type and labels, as docs/metrics.md has them."""
    page = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(demotic_\w+)` \| (\w+) \| ([^|]*)\|", page, re.MULTILINE)
    assert len({name for name, *_ in rows}) == len(rows)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


async def test_the_page_lists_every_metric_with_its_type_and_labels_and_no_other(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint:
        await endpoint.complete("tiny")
        await read(endpoint)
        families = (await read(endpoint)).families
    exported = {}
    for family in families:
        # The parser leaves out what a counter's name ends with.
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        exported[name] = (family.type, labels)
        assert family.documentation.endswith(".")
    assert exported == documented()
