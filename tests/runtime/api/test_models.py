"""Models are loaded and unloaded when a client says so."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint import LocalEndpoint, local_endpoint
from tests.tiny.gguf import write_tiny_gguf


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    tiny = write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", context_length=4096)
    return {"first": tiny, "second": tiny}


async def tell(endpoint: LocalEndpoint, what: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = await endpoint.http.post(f"/v1/models/{what}", json=body)
    return answer.status_code, answer.json()


async def test_a_model_is_loaded_and_unloaded_and_says_so(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint:
        listed = (await endpoint.http.get("/v1/models")).json()["data"]
        assert [model["demotic"]["status"] for model in listed] == ["unloaded", "unloaded"]
        assert listed[0]["demotic"]["context_length"] is None
        assert (listed[0]["demotic"]["device"], listed[0]["demotic"]["progress"]) == (None, None)
        assert listed[0]["demotic"]["trained_context_length"] == 4096
        assert listed[0]["demotic"]["size_bytes"] == models["first"].stat().st_size
        status, model = await tell(endpoint, "load", model="second")
        assert (status, model["id"], model["demotic"]["status"]) == (200, "second", "ready")
        assert model["demotic"]["context_length"] == 2048
        assert (model["demotic"]["device"], model["demotic"]["progress"]) == ("cpu", None)
        assert await endpoint.states() == {"first": "unloaded", "second": "ready"}
        worker = await endpoint.worker("second")
        status, model = await tell(endpoint, "unload", model="second")
        assert (status, model["id"], model["demotic"]["status"]) == (200, "second", "unloaded")
        assert not worker.is_running()
        assert (await endpoint.complete("second")).status_code == 200


async def test_a_model_that_answers_is_unloaded_only_by_force(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint, asyncio.timeout(120):
        async with aclosing(endpoint.stream("first", max_tokens=2000)) as events:
            await anext(events)
            status, refused = await tell(endpoint, "unload", model="first")
            assert (status, refused["error"]["code"]) == (409, "model_busy")
            assert (await endpoint.states())["first"] == "ready"
            status, model = await tell(endpoint, "unload", model="first", force=True)
            assert (status, model["demotic"]["status"]) == (200, "unloaded")
            last = [event async for event in events][-1]
        assert "unloaded" in last["error"]["message"]


async def test_names_and_bodies_that_are_wrong_are_refused(models: dict[str, Path]) -> None:
    async with local_endpoint(models) as endpoint:
        for what in ("load", "unload"):
            status, refused = await tell(endpoint, what, model="firs")
            assert (status, refused["error"]["code"]) == (404, "model_not_found")
            assert "first" in refused["error"]["message"]
            for body, param in (({}, "model"), ({"model": 1}, "model"), ({"model": "first", "now": True}, "now")):
                status, refused = await tell(endpoint, what, **body)
                assert (status, refused["error"]["param"]) == (400, param)
        status, refused = await tell(endpoint, "load", model="first:missing")
        assert (status, refused["error"]["code"]) == (404, "adapter_not_found")
        assert await endpoint.states() == {"first": "ready", "second": "unloaded"}
