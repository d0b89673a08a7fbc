"""What one client may take: requests at the same time, and tokens a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.api.limits import LimitClients
from tests.server import serving
from tests.tiny.gguf import write_tiny_gguf


class Desk:
    """An application that answers when it is told to, behind the limit."""

    def __init__(self, limit: int, *, has_keys: bool) -> None:
        self.app: ASGIApp = LimitClients(self._answer, limit, has_keys=has_keys)
        self.num_in = 0
        self.may_answer = asyncio.Event()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.num_in += 1
        await self.may_answer.wait()
        if scope["path"] == "/fault":
            raise ZeroDivisionError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(self, key: str = "", address: str = "10.0.0.1", path: str = "/v1/models") -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.get(path, headers={"Authorization": f"Bearer {key}"})

    @asynccontextmanager
    async def in_flight(self, *asked: tuple[str, str]) -> AsyncIterator[None]:
        """Requests of these keys and addresses, which are answered when the block ends."""
        before = self.num_in
        tasks = [asyncio.create_task(self.ask(key, address)) for key, address in asked]
        async with asyncio.timeout(20):
            while self.num_in < before + len(tasks):
                await asyncio.sleep(0)
        yield
        self.may_answer.set()
        assert [(await task).status_code for task in tasks] == [200] * len(tasks)


async def test_over_the_limit_a_client_is_told_to_come_again() -> None:
    desk = Desk(2, has_keys=False)
    async with desk.in_flight(("", "10.0.0.1"), ("", "10.0.0.1")):
        refused = await desk.ask()
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "too_many_requests"
        assert refused.headers["retry-after"] == "1"
    assert (await desk.ask()).status_code == 200


async def test_without_keys_a_client_is_an_address() -> None:
    desk = Desk(1, has_keys=False)
    async with desk.in_flight(("a", "10.0.0.1"), ("a", "10.0.0.2")):
        assert (await desk.ask("another key", "10.0.0.1")).status_code == 429


async def test_with_keys_a_client_is_a_key() -> None:
    desk = Desk(1, has_keys=True)
    async with desk.in_flight(("a", "10.0.0.1"), ("b", "10.0.0.1")):
        assert (await desk.ask("a", "10.0.0.2")).status_code == 429


async def test_a_request_that_fails_counts_no_more() -> None:
    desk = Desk(1, has_keys=False)
    desk.may_answer.set()
    for _ in range(3):
        assert (await desk.ask(path="/fault")).status_code == 500
    assert (await desk.ask()).status_code == 200


async def test_who_has_the_whole_answer_may_ask_again_at_once() -> None:
    desk = Desk(1, has_keys=False)
    desk.may_answer.set()
    statuses: list[int] = []
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("10.0.0.1", 1)}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def ask_again(message: Message) -> None:
        if message["type"] == "http.response.body":
            statuses.append((await desk.ask()).status_code)

    await desk.app(scope, receive, ask_again)
    assert statuses == [200]


async def test_health_is_told_to_everybody() -> None:
    desk = Desk(1, has_keys=False)
    async with desk.in_flight(("", "10.0.0.1")):
        health = asyncio.create_task(desk.ask(path="/health"))
        await asyncio.sleep(0.05)
        desk.may_answer.set()
        assert (await health).status_code == 200


@pytest.mark.parametrize("has_key", [False, True])
def test_a_real_server_holds_both_limits(tmp_path: Path, has_key: bool) -> None:
    model = str(write_tiny_gguf(tmp_path / "tiny.gguf", context_length=2048))
    limits = ("--max-requests-per-client", "1", "--max-tokens-per-request", "1000")
    key = ("--api-key", "secret") if has_key else ()
    with serving(model, *limits, *key) as server, httpx.Client(base_url=server.base_url, timeout=60) as http:
        http.headers["Authorization"] = "Bearer secret"
        body = {"prompt": "x", "temperature": 0, "ignore_eos": True}
        with http.stream("POST", "/completions", json=body | {"max_tokens": 1000, "stream": True}) as stream:
            lines = stream.iter_lines()
            next(lines)
            refused = http.post("/completions", json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
            assert list(lines)[-2:] == ["data: [DONE]", ""]
        refused = http.post("/completions", json=body | {"max_tokens": 1001})
        assert refused.status_code == 400
        message = refused.json()["error"]["message"]
        assert "1001" in message and "1000" in message
        assert http.post("/completions", json=body).status_code == 200
