"""`x-demotic-run-tools`: the server runs what its operator approved, streamed or not, and nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from runtime.api.app import create_app
from runtime.api.server import DrainingServer
from runtime.api.tool_runs import ServerTools
from runtime.chat.tools.approval import Approval
from runtime.chat.tools.sources.functions import FunctionTools, tool
from runtime.chat.tools.toolbox import Toolbox
from runtime.config import ServerConfig
from runtime.engine.pool import ModelPool
from tests.fakes.scripted import ScriptedLoader
from tests.server import serving

QUESTION: Any = [{"role": "user", "content": "Времето в София?"}]
ASK = 'Ще проверя.\n<tool_call>\n{"name": "weather", "arguments": {"city": "София"}}\n</tool_call>'
RUN = {"x-demotic-run-tools": "true"}
begun, ended = threading.Event(), threading.Event()


@tool(read_only=True)
def weather(city: str) -> str:
    """Weather of a city."""
    return f"18 °C в {city}"


@tool
def erase() -> str:
    """Erase all."""
    raise AssertionError("it was run")


@tool
async def wait() -> str:
    """Waits for ever."""
    begun.set()
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()
    return "never"


@asynccontextmanager
async def serving_tools(folder: Path, *answers: str, has_tools: bool = True) -> AsyncIterator[str]:
    pool = ModelPool(["scripted"], ScriptedLoader(folder, answers))
    toolbox = Toolbox([FunctionTools([weather, erase, wait])])
    tools = ServerTools(toolbox, Approval(("wait",), read_only_is_free=True)) if has_tools else None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = DrainingServer(create_app(pool, ServerConfig(), tools=tools), pool, drain_seconds=0.5)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running
            await pool.close()


def openai_at(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)


async def post(url: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as http:
        body = {"model": "scripted", "messages": QUESTION} | more
        return await http.post(f"{url}/v1/chat/completions", json=body, headers=RUN if headers is None else headers)


async def test_a_tool_is_run_and_the_answer_says_what_was_run(tmp_path: Path) -> None:
    async with serving_tools(tmp_path, ASK, "18 градуса.") as url, openai_at(url) as client:
        answer = await client.chat.completions.create(model="scripted", messages=QUESTION, extra_headers=RUN)
        (choice,) = answer.choices
        assert (choice.finish_reason, choice.message.content) == ("stop", "Ще проверя.\n\n18 градуса.")
        assert choice.message.tool_calls is None
        (run,) = answer.model_extra["demotic"]["tool_runs"]  # type: ignore[index]
        assert (run["name"], run["arguments"]) == ("weather", {"city": "София"})
        assert (run["outcome"], run["result"]) == ("answered", "18 °C в София")
        assert answer.usage is not None
        assert answer.usage.completion_tokens >= len("18 градуса.".encode())
        assert answer.usage.model_extra is not None
        told = answer.usage.model_extra["demotic"]
        assert (told["prompt_language"], told["characters"]) == ("bul_Cyrl", len(ASK) + len("18 градуса."))


async def test_a_stream_tells_of_calls_between_its_pieces(tmp_path: Path) -> None:
    async with serving_tools(tmp_path, ASK, "18 градуса.") as url, openai_at(url) as client:
        stream = await client.chat.completions.create(
            model="scripted",
            messages=QUESTION,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers=RUN,
        )
        chunks = [chunk async for chunk in stream]
    told: list[str] = []
    for chunk in chunks:
        if runs := (chunk.model_extra or {}).get("demotic"):
            told += [run["outcome"] for run in runs["tool_runs"]]
        elif chunk.choices and chunk.choices[0].delta.content:
            told.append(chunk.choices[0].delta.content)
    assert "".join(told) == "Ще проверя.runninganswered\n\n18 градуса."
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None


async def test_a_model_is_offered_only_what_is_approved(tmp_path: Path) -> None:
    toolbox = Toolbox([FunctionTools([weather, erase, wait])])
    names = {tool.name for tool in ServerTools(toolbox, Approval(("wait",), read_only_is_free=True)).tools}
    assert names == {"weather", "wait"}
    async with serving_tools(tmp_path, "x") as url:
        named = {"type": "function", "function": {"name": "erase"}}
        refused = await post(url, tool_choice=named)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tool_choice")


async def test_without_the_header_nothing_is_run(tmp_path: Path) -> None:
    async with serving_tools(tmp_path, "Не знам.") as url:
        for headers in ({}, {"x-demotic-run-tools": "false"}):
            answer = (await post(url, headers)).json()
            assert "demotic" not in answer
            assert answer["choices"][0]["message"]["content"] == "Не знам."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"tools": [{"type": "function", "function": {"name": "mine"}}]}, "'tools' does not go with"),
        ({"n": 2}, "'n' does not go with"),
        ({"logprobs": True}, "'logprobs' does not go with"),
    ],
)
async def test_fields_that_do_not_go_with_it_are_named(tmp_path: Path, body: dict[str, Any], words: str) -> None:
    async with serving_tools(tmp_path, "x") as url:
        answer = await post(url, **body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


async def test_a_server_without_tools_and_a_strange_header_are_400s(tmp_path: Path) -> None:
    async with serving_tools(tmp_path, "x", has_tools=False) as url:
        assert "runs no tools" in (await post(url)).json()["error"]["message"]
        strange = await post(url, {"x-demotic-run-tools": "maybe"})
    assert (strange.status_code, "'maybe'" in strange.text) == (400, True)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_tool_is_given_up_when_the_client_goes(tmp_path: Path, is_streamed: bool) -> None:
    begun.clear()
    ended.clear()
    call = '<tool_call>\n{"name": "wait", "arguments": {}}\n</tool_call>'
    async with serving_tools(tmp_path, call, "?") as url:
        asking = asyncio.create_task(post(url, stream=is_streamed))
        assert await asyncio.to_thread(begun.wait, 20)
        asking.cancel()
        assert await asyncio.to_thread(ended.wait, 20)


def test_serve_with_a_file_of_tools_runs_them_with_a_real_model(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import demotic\n\n@demotic.tool\ndef today() -> str:\n    'Today.'\n    return 'Friday'\n"
    )
    file = tmp_path / "tools.toml"
    file.write_text('approve = ["today"]\n[functions.mine]\nfile = "mine.py"\n')
    with serving("smollm2-135m-instruct", "--tools-file", str(file), "--context", "1024") as server:
        body = {
            "messages": [{"role": "user", "content": "What day is it?"}],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "temperature": 0,
            "max_tokens": 40,
        }
        answer = httpx.post(f"{server.base_url}/chat/completions", json=body, headers=RUN, timeout=100).json()
    runs = answer["demotic"]["tool_runs"]
    assert json.dumps([runs[0][key] for key in ("name", "outcome", "result")]) == '["today", "answered", "Friday"]'
