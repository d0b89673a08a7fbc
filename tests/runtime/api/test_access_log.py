"""Every request has an id and, where a log is wanted, one line that tells what became of it and not what was asked."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from runtime.api.access_log import MAX_BODY, AccessLog
from runtime.api.app import create_app
from runtime.config import EngineConfig, ServerConfig
from runtime.engine.loader import WorkerLoader
from runtime.engine.pool import ModelPool
from runtime.errors import ConfigurationInvalid
from runtime.models.store import ModelFile
from tests.server import serving
from tests.tiny.gguf import write_tiny_gguf

SECRET = "the password is xyzzy"
FIELDS = {"time", "id", "client", "method", "path", "status", "seconds", "bytes"}


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., FastAPI]:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    loader = WorkerLoader({"tiny": ModelFile("tiny", path, None, "path", None)}, EngineConfig())
    return lambda log=None, keys=(): create_app(ModelPool(["tiny"], loader), ServerConfig(), keys, log)


def asking(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=("10.1.2.3", 4)), base_url="http://localhost")


async def test_every_answer_has_an_id_of_its_own(app: Callable[..., FastAPI]) -> None:
    async with asking(app(keys=("secret",))) as http:
        answers = [await http.get(path) for path in ("/health", "/health", "/v1/models", "/missing")]
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)


@pytest.mark.parametrize("mine", ["a", 'req-7/"{}', "~" * 128])
async def test_a_sane_id_of_the_client_is_kept(app: Callable[..., FastAPI], mine: str) -> None:
    async with asking(app()) as http:
        answer = await http.get("/health", headers={"x-request-id": mine})
    assert answer.headers.get_list("x-request-id") == [mine]


@pytest.mark.parametrize("odd", [b"", b"~" * 129, b"two words", b"caf\xe9", b"\t"])
async def test_any_other_id_is_replaced(app: Callable[..., FastAPI], odd: bytes) -> None:
    async with asking(app()) as http:
        answer = await http.get("/health", headers={b"x-request-id": odd})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_a_fault_is_logged_with_the_id_of_its_request(
    app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ModelPool, "states", lambda pool: 1 / 0)
    async with asking(app()) as http:
        answer = await http.get("/health", headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "mine" in record.message


async def test_a_line_tells_who_asked_what_and_what_came_of_it(app: Callable[..., FastAPI], tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with AccessLog(str(path)) as log:
        async with asking(app(log, ("secret",))) as http:
            headers = {"Authorization": "Bearer secret", "x-request-id": 'odd"id'}
            found = await http.get("/v1/models?prompt=xyzzy", headers=headers)
            await http.get("/v1/models/\u043d\u0435%0A", headers={"Authorization": "Bearer wrong"})
    first, second = lines_of(path)
    assert set(first) == set(second) == FIELDS
    assert first["id"] == 'odd"id'
    assert (first["client"], first["method"], first["path"]) == ("10.1.2.3", "GET", "/v1/models")
    assert (first["status"], first["bytes"]) == (200, len(found.content))
    assert 0 < first["seconds"] < 10
    when = datetime.fromisoformat(first["time"])
    assert when.utcoffset() == timedelta(0)
    assert datetime.now(UTC) - when < timedelta(minutes=1)
    assert (second["status"], second["path"]) == (401, "/v1/models/\u043d\u0435\n")
    assert "xyzzy" not in path.read_text()
    assert "secret" not in path.read_text()


async def test_bodies_are_logged_only_where_that_is_asked_for_and_only_up_to_a_bound(
    app: Callable[..., FastAPI], tmp_path: Path
) -> None:
    body = json.dumps({"model": "missing", "prompt": SECRET, "more": "x" * MAX_BODY}).encode()
    for log_prompts in (False, True):
        path = tmp_path / f"{log_prompts}.log"
        with AccessLog(str(path), log_prompts=log_prompts) as log:
            async with asking(app(log)) as http:
                answer = await http.post("/v1/completions", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 404
        (line,) = lines_of(path)
        if log_prompts:
            assert line["body"].encode() == body[:MAX_BODY]
        else:
            assert set(line) == FIELDS


def test_a_new_log_can_be_read_by_its_owner_only_and_an_old_one_is_gone_on_with(tmp_path: Path) -> None:
    new, old = tmp_path / "new.log", tmp_path / "old.log"
    old.write_text('{"id": "before"}\n')
    old.chmod(0o640)
    for path in (new, old):
        with AccessLog(str(path)) as log:
            log.write({"id": "after \ud800"})
    assert [path.stat().st_mode & 0o777 for path in (new, old)] == [0o600, 0o640]
    assert [line["id"] for line in lines_of(old)] == ["before", "after ?"]


def test_a_log_that_cannot_be_opened_is_refused_and_one_that_fills_the_disk_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationInvalid, match="cannot be written"):
        AccessLog(str(tmp_path / "missing" / "access.log"))
    if not Path("/dev/full").exists():
        pytest.skip("this system has no disk that is always full")
    with AccessLog("/dev/full") as log:
        for _ in range(3):
            log.write({})
    assert len(caplog.records) == 1


def test_a_real_server_logs_streams_to_their_end_and_clients_that_leave(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    model = str(write_tiny_gguf(tmp_path / "tiny.gguf", context_length=2048))
    with serving(model, "--access-log", str(path)) as server:
        with openai.OpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as client:
            answer = client.completions.with_raw_response.create(
                model="tiny", prompt=SECRET, max_tokens=8, stream=True, extra_body={"ignore_eos": True}
            )
            num_bytes = sum(len(piece) for piece in answer.http_response.iter_bytes())
        with socket.create_connection(("127.0.0.1", server.port)) as left:
            left.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        deadline = time.monotonic() + 20
        while len(lines_of(path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    stream, gone = lines_of(path)
    assert stream["id"] == answer.headers["x-request-id"]
    assert (stream["status"], stream["bytes"], stream["client"]) == (200, num_bytes, "127.0.0.1")
    assert gone["status"] == 499
    assert SECRET not in path.read_text()


def test_the_log_can_go_to_standard_error_with_prompts(tmp_path: Path) -> None:
    model = str(write_tiny_gguf(tmp_path / "tiny.gguf"))
    with serving(model, "--access-log", "-", "--log-prompts") as server:
        httpx.post(f"{server.base_url}/completions", json={"prompt": SECRET, "max_tokens": 1})
        deadline = time.monotonic() + 20
        while not any(line.startswith("{") for line in server.lines) and time.monotonic() < deadline:
            time.sleep(0.05)
        (line,) = [json.loads(line) for line in server.lines if line.startswith("{")]
    assert SECRET in line["body"]
    assert line["status"] == 200
