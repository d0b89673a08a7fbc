"""`demotic mcp` through the protocol's own client, over pipes and over HTTP, and through `demotic run --tools`."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CallToolResult, TextContent

from runtime import model
from runtime.backends.load import LoadedDecoder
from runtime.card import ModelCard
from runtime.chat.tools.sources.base import ToolFault
from runtime.config import EngineConfig
from runtime.hardware.plan import Plan
from runtime.models.store import ModelFile
from runtime.skills import LazyModel, Skills
from tests.fakes.decoder import END, ByteTokenizer
from tests.fakes.run import scripted_model
from tests.fakes.scripted import CONTEXT, SureDecoder, next_of
from tests.tiny.encoders import tiny_bert, write_encoder

CHAT = "smollm2-135m-instruct"


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def parameters(*arguments: str) -> StdioServerParameters:
    root = str(Path(__file__).parents[1])
    return StdioServerParameters(
        command=sys.executable, args=["-m", "demotic", "mcp", *arguments], env={"PYTHONPATH": root}
    )


async def test_agents_generate_and_tell_languages_with_a_real_model() -> None:
    async with Client(parameters(CHAT)) as client:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == {"generate", "translate", "detect_language"}
        assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in tools)
        question = {"prompt": "What is the capital of France? Answer in one sentence.", "temperature": 0}
        assert "Paris" in text_of(await client.call_tool("generate", question))
        found = json.loads(text_of(await client.call_tool("detect_language", {"text": "Колко е часът в София?"})))
        assert (found["language"], found["is_confident"], found["is_mixed"]) == ("bul_Cyrl", True, False)
        wrong = await client.call_tool("generate", {"prompt": "Hi", "max_tokens": 100_000})
        assert wrong.is_error
        assert "context holds" in text_of(wrong)
        with pytest.raises(MCPError, match="no tool named 'erase'"):
            await client.call_tool("erase", {})


async def test_a_model_of_one_language_refuses_to_translate() -> None:
    async with Client(parameters(CHAT)) as client:
        refused = await client.call_tool("translate", {"text": "Good morning.", "target": "bg"})
    assert refused.is_error
    assert "knows eng_Latn only" in text_of(refused)


def test_over_http_only_this_machine_s_names_are_answered() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "demotic", "mcp", CHAT, "--port", "0"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line
            found = re.search(r"http://127\.0\.0\.1:\d+/mcp", line)
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        headers = {"accept": "application/json, text/event-stream"}
        foreign = httpx.post(found[0], json=body, headers=headers | {"host": "evil.example"})
        assert foreign.status_code == 421
        page = httpx.post(found[0], json=body, headers=headers | {"origin": "https://evil.example"})
        assert page.status_code == 403

        async def names() -> set[str]:
            async with Client(found[0]) as client:
                return {tool.name for tool in (await client.list_tools()).tools}

        assert "generate" in asyncio.run(names())
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        process.stderr.close()


def test_ctrl_c_ends_it_while_it_waits_for_its_input() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "demotic", "mcp", CHAT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    process.stdin.write(json.dumps(body).encode() + b"\n")
    process.stdin.flush()
    assert b'"id":1' in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    _, errors = process.communicate()
    assert b"Traceback" not in errors


def bert(folder: Path) -> Path:
    return write_encoder(folder / "bert.gguf", tiny_bert(), pooling="mean")


def test_models_of_the_wrong_kind_are_one_line(tmp_path: Path) -> None:
    for arguments in ((CHAT, "--embedding-model", "gemma-3-270m"), (str(bert(tmp_path)),)):
        done = subprocess.run(
            [sys.executable, "-m", "demotic", "mcp", *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 2
        assert sum(line.startswith("demotic: ") for line in done.stderr.splitlines()) == 1, done.stderr
        assert "Traceback" not in done.stderr


async def test_texts_are_embedded_by_a_model_of_its_own(tmp_path: Path) -> None:
    async with Client(parameters(CHAT, "--embedding-model", str(bert(tmp_path)))) as client:
        result = await client.call_tool("embed", {"texts": ["the world", "a ring"]})
        one, other = json.loads(text_of(result))
        assert len(one) == len(other) == 64
        assert sum(value * value for value in one) == pytest.approx(1, abs=1e-4)
        many = await client.call_tool("embed", {"texts": ["x"] * 65})
        assert many.is_error


async def test_a_chat_model_of_more_languages_is_asked_to_translate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    follow = next_of(["Добро утро."])

    def next_token(tokens: list[int]) -> int:
        asked.append(bytes(token - 1 for token in tokens if token != END).decode(errors="ignore"))
        return follow(tokens)

    def load_decoder(_path: Path, plan: Plan, **_: Any) -> LoadedDecoder:
        decoder = SureDecoder(next_token, context_length=CONTEXT, num_cells=CONTEXT * 4, batch_size=4096)
        return LoadedDecoder(decoder, ByteTokenizer(), decoder.close, plan)

    monkeypatch.setattr(model, "load_decoder", load_decoder)
    card = ModelCard.read(ModelFile("scripted", scripted_model(tmp_path), None, "path", None))
    loaded = LazyModel(card, EngineConfig())
    tools = Skills(loaded).tools()
    try:
        assert await tools.call("translate", {"text": "Good morning.", "target": "bg", "source": "en"}) == "Добро утро."
        assert "from English into Bulgarian" in asked[0]
        assert "Good morning." in asked[0]
        with pytest.raises(ToolFault, match="Klingo"):
            await tools.call("translate", {"text": "Good morning.", "target": "Klingo"})
    finally:
        loaded.close()
