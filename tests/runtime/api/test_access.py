"""Who is let in, what a web page may do, and how the gates stand relative to each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.api.app import create_app
from runtime.config import EngineConfig, ServerConfig
from runtime.engine.loader import WorkerLoader
from runtime.engine.pool import ModelPool
from runtime.models.store import ModelFile
from tests.tiny.gguf import write_tiny_gguf

PAGE, OTHER_PAGE = "http://localhost:3000", "http://evil.example"
KEY = {"Authorization": "Bearer secret"}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os",
}

MakeClient = Callable[..., httpx.AsyncClient]


@pytest.fixture
def client(tmp_path: Path) -> MakeClient:
    """A client of the application, without a server in between; no model is loaded."""
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    loader = WorkerLoader({"tiny": ModelFile("tiny", path, None, "path", None)}, EngineConfig())

    def make(api_keys: tuple[str, ...] = (), **config: Any) -> httpx.AsyncClient:
        app = create_app(ModelPool(["tiny"], loader), ServerConfig(**config), api_keys)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")

    return make


async def test_without_listed_origins_no_answer_has_cors_headers(client: MakeClient) -> None:
    async with client() as http:
        answers = [
            await http.get("/v1/models", headers={"Origin": PAGE}),
            await http.options("/v1/chat/completions", headers=PREFLIGHT | {"Origin": PAGE}),
        ]
    assert answers[1].status_code == 405
    assert not any(name.startswith("access-control") for answer in answers for name in answer.headers)


async def test_a_listed_origin_is_told_that_it_may_ask_without_a_key(client: MakeClient) -> None:
    async with client(("secret",), cors_origins=(PAGE,)) as http:
        allowed = await http.options("/v1/chat/completions", headers=PREFLIGHT | {"Origin": PAGE})
        refused = await http.options("/v1/chat/completions", headers=PREFLIGHT | {"Origin": OTHER_PAGE})
        plain = await http.options("/v1/chat/completions")
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert "x-stainless-os" in allowed.headers["access-control-allow-headers"]
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    # What is no question of a browser needs the key like everything else.
    assert plain.status_code == 401


async def test_errors_carry_cors_headers_so_that_a_page_can_read_them(
    client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pool: ModelPool) -> None:
        raise ZeroDivisionError

    async with client(("secret",), cors_origins=(PAGE,), max_body_bytes=100) as http:
        page = {"Origin": PAGE, "Content-Type": "application/json"}
        answers = {
            401: await http.get("/v1/models", headers=page),
            404: await http.get("/v1/models/missing", headers=page | KEY),
            400: await http.post("/v1/completions", headers=page | KEY, content="{"),
            413: await http.post("/v1/completions", headers=page | KEY, content="x" * 101),
        }
        monkeypatch.setattr(ModelPool, "states", fail)
        answers[500] = await http.get("/health", headers=page)
    assert {status: answer.status_code for status, answer in answers.items()} == {status: status for status in answers}
    for answer in answers.values():
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert answer.json()["error"]["message"]


async def test_all_origins_are_allowed_by_a_star(client: MakeClient) -> None:
    async with client(("secret",), cors_origins=("*",)) as http:
        answer = await http.get("/v1/models", headers=KEY | {"Origin": OTHER_PAGE})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


async def test_an_origin_that_is_not_listed_is_told_nothing(client: MakeClient) -> None:
    async with client(cors_origins=(PAGE,)) as http:
        answer = await http.get("/v1/models", headers={"Origin": OTHER_PAGE})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_fault_of_our_own_is_one_error_object_and_is_logged(
    client: MakeClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ModelPool, "states", lambda pool: 1 / 0)
    async with client() as http:
        answer = await http.get("/health")
    assert answer.status_code == 500
    assert json.loads(answer.text)["error"]["type"] == "server_error"
    assert "ZeroDivisionError" in caplog.text


async def test_an_open_server_answers_to_any_name_and_another_one_does_not(client: MakeClient) -> None:
    for is_open, status in ((True, 200), (False, 400)):
        async with client(is_open=is_open) as http:
            answer = await http.get("/v1/models", headers={"Host": "models.lan"})
        assert answer.status_code == status


async def test_with_a_key_nothing_but_health_is_answered_without_it(client: MakeClient) -> None:
    async with client(("secret",)) as http:
        document = (await http.get("/openapi.json", headers=KEY)).json()
        asked = [(method, path) for path, methods in document["paths"].items() for method in methods]
        asked += [("get", path) for path in ("/", "/docs", "/redoc", "/openapi.json", "/nothing")]
        answers = {(method, path): (await http.request(method, path)).status_code for method, path in asked}
    assert {asked for asked, status in answers.items() if status != 401} == {("get", "/health")}
    assert len(answers) > 20
