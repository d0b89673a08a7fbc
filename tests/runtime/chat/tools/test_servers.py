"""MCP servers as sources of tools: a real one from PyPI, and one with every fault, over pipes and over HTTP."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.settings import ServerSettings, ToolSettings
from runtime.chat.tools.sources.base import ToolFault
from runtime.chat.tools.toolbox import Toolbox, open_toolbox
from runtime.config import ToolRunConfig
from runtime.errors import ConfigurationInvalid, ToolServerFailed

ROOT = Path(__file__).parents[4]
FAULTY = ServerSettings(command=sys.executable, args=("-m", "tests.fakes.mcp_server"), cwd=str(ROOT))
QUICK = ToolRunConfig(call_seconds=1.0, max_result_chars=1000, max_message_bytes=200_000)


@asynccontextmanager
async def toolbox_of(server: ServerSettings, limits: ToolRunConfig | None = None) -> AsyncIterator[Toolbox]:
    async with open_toolbox(ToolSettings({"my": server}, limits=limits or ToolRunConfig())) as toolbox:
        yield toolbox


async def call(toolbox: Toolbox, name: str, /, **arguments: Any) -> str:
    return await toolbox.run(ToolCall("c", name, json.dumps(arguments, ensure_ascii=False)))


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


async def test_a_server_from_pypi_is_asked_what_time_it_is() -> None:
    server = ServerSettings(command=sys.executable, args=("-m", "mcp_server_time", "--local-timezone", "Europe/Sofia"))
    before = len(children())
    async with toolbox_of(server) as toolbox:
        assert set(toolbox.offered) == {"my_get_current_time", "my_convert_time"}
        assert toolbox.offered["my_convert_time"].is_read_only
        told = await call(
            toolbox, "my_convert_time", source_timezone="Europe/Sofia", time="16:30", target_timezone="Asia/Tokyo"
        )
        assert json.loads(told)["target"]["timezone"] == "Asia/Tokyo"
        with pytest.raises(ToolFault, match="Invalid timezone"):
            await call(toolbox, "my_get_current_time", timezone="Sofia")
    assert len(children()) == before


async def test_tools_are_named_after_their_server_in_letters_that_models_know() -> None:
    async with toolbox_of(FAULTY) as toolbox:
        assert await call(toolbox, "my_with_dots_and_slashes") == "odd"
        assert await call(toolbox, "my_echo", text="здравей 👋") == "здравей 👋"
        assert toolbox.offered["my_echo"].is_read_only
        assert not toolbox.offered["my_fail"].is_read_only


async def test_what_a_tool_says_of_its_fault_is_told_and_so_are_wrong_arguments() -> None:
    async with toolbox_of(FAULTY) as toolbox:
        with pytest.raises(ToolFault, match="няма такъв град"):
            await call(toolbox, "my_fail")
        with pytest.raises(ToolFault, match="text"):
            await call(toolbox, "my_echo", txt="?")


async def test_a_server_gets_few_variables_and_those_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of mine")
    monkeypatch.setenv("PASSED", "on purpose")
    server = ServerSettings(
        command=FAULTY.command,
        args=FAULTY.args,
        cwd=str(ROOT),
        env={"GIVEN": "здравей"},
        pass_env=("PASSED", "MISSING"),
    )
    async with toolbox_of(server) as toolbox:
        assert await call(toolbox, "my_environment", name="SECRET") == f"None in {ROOT}"
        assert (await call(toolbox, "my_environment", name="PASSED")).startswith("on purpose")
        assert (await call(toolbox, "my_environment", name="GIVEN")).startswith("здравей")
        assert (await call(toolbox, "my_environment", name="PATH")).startswith(os.environ["PATH"])


async def test_a_long_result_is_cut_and_says_so() -> None:
    async with toolbox_of(FAULTY, QUICK) as toolbox:
        result = await call(toolbox, "my_flood", size=20_000)
        assert result == "я" * 1000 + "\n[... 19,000 characters left out]"


@pytest.mark.parametrize("size", [300_000, 8_000_000])
async def test_a_message_over_the_limit_ends_the_server_and_the_next_call_starts_it_anew(size: int) -> None:
    limits = ToolRunConfig(call_seconds=20, max_message_bytes=200_000)
    async with toolbox_of(FAULTY, limits) as toolbox:
        with pytest.raises(ToolFault, match="more than 200,000 bytes"):
            await call(toolbox, "my_flood", size=size)
        assert await call(toolbox, "my_echo", text="again") == "again"


async def test_a_server_that_crashes_in_a_call_says_its_last_words_and_is_started_anew() -> None:
    async with toolbox_of(FAULTY) as toolbox:
        with pytest.raises(ToolFault, match=r"its server has ended.*out of luck"):
            await call(toolbox, "my_crash")
        assert await call(toolbox, "my_echo", text="again") == "again"


async def test_a_tool_that_takes_too_long_is_given_up_and_its_server_goes_on() -> None:
    before = {child.pid for child in children()}
    async with toolbox_of(FAULTY, QUICK) as toolbox:
        pids = {child.pid for child in children()} - before
        with pytest.raises(ToolFault, match="longer than 1 s"):
            await call(toolbox, "my_wait", seconds=600)
        await asyncio.sleep(0.5)
        assert await call(toolbox, "my_echo", text="still there") == "still there"
        assert {child.pid for child in children()} - before == pids


async def test_a_server_that_hears_nothing_any_more_is_ended() -> None:
    before = {child.pid for child in children()}
    async with toolbox_of(FAULTY, QUICK) as toolbox:
        pids = {child.pid for child in children()} - before
        with pytest.raises(ToolFault, match="longer than 1 s"):
            await call(toolbox, "my_block", seconds=600)
        for _ in range(300):
            if not pids & {child.pid for child in children()}:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the stuck server lives on")


async def test_what_a_server_started_ends_with_it() -> None:
    async with toolbox_of(FAULTY) as toolbox:
        child = psutil.Process(int(await call(toolbox, "my_spawn")))
        assert child.is_running()
    for _ in range(50):
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.1)
                continue
        break
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (ServerSettings(command="no-such-program-anywhere"), "no-such-program-anywhere"),
        (ServerSettings(command=sys.executable, args=("-c", "raise SystemExit('no licence')")), "no licence"),
        (ServerSettings(url="http://127.0.0.1:9/mcp"), "attempts failed|refused"),
    ],
)
async def test_a_server_that_does_not_start_is_named_with_the_reason(server: ServerSettings, words: str) -> None:
    with pytest.raises(ToolServerFailed, match=rf"'my' cannot be used: .*({words})"):
        async with toolbox_of(server):
            pass


async def test_a_server_that_never_answers_is_given_up_and_ended() -> None:
    before = len(children())
    started = time.monotonic()
    server = ServerSettings(command=sys.executable, args=("-c", "import time; time.sleep(600)"))
    with pytest.raises(ToolServerFailed, match="not ready after 1 s"):
        async with toolbox_of(server, ToolRunConfig(start_seconds=1.0)):
            pass
    assert len(children()) == before
    assert time.monotonic() - started < 15


async def test_one_server_that_fails_ends_the_others() -> None:
    before = len(children())
    settings = ToolSettings({"good": FAULTY, "bad": ServerSettings(command="no-such-program-anywhere")})
    with pytest.raises(ToolServerFailed, match="'bad'"):
        async with open_toolbox(settings):
            pass
    assert len(children()) == before


async def test_an_approved_tool_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationInvalid, match="'my_ecko' is not there"):
        async with open_toolbox(ToolSettings({"my": FAULTY}, approve=("my_ecko",))):
            pass


@asynccontextmanager
async def faulty_over_http() -> AsyncIterator[ServerSettings]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *FAULTY.args, str(port), cwd=str(ROOT), stdout=asyncio.subprocess.DEVNULL, stderr=-3
    )
    try:
        for _ in range(200):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            await asyncio.sleep(0.1)
        yield ServerSettings(url=f"http://127.0.0.1:{port}/mcp")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_server_at_a_url_is_used_within_the_same_limits() -> None:
    async with faulty_over_http() as server, toolbox_of(server, QUICK) as toolbox:
        assert await call(toolbox, "my_echo", text="здравей") == "здравей"
        assert "characters left out" in await call(toolbox, "my_flood", size=10_000)
        with pytest.raises(ToolFault, match="няма такъв град"):
            await call(toolbox, "my_fail")
        with pytest.raises(ToolFault):
            await call(toolbox, "my_flood", size=3_000_000)
        with pytest.raises(ToolFault, match="longer than 1 s"):
            await call(toolbox, "my_wait", seconds=600)
        assert await call(toolbox, "my_echo", text="again") == "again"
        with pytest.raises(ToolFault, match="ended"):
            await call(toolbox, "my_crash")


async def test_without_the_extra_its_name_is_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationInvalid, match=r"demotic\[tools\]"):
        async with toolbox_of(FAULTY):
            pass
