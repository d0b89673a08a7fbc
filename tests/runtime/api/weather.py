"""Two tools, how a model calls them, and an endpoint whose model says what it is told to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

from runtime.api.app import create_app
from runtime.api.server import DrainingServer
from runtime.config import ServerConfig
from runtime.engine.pool import ModelPool
from tests.fakes.scripted import TEMPLATE, ScriptedLoader

CHAT = "smollm2-135m-instruct"
BASE = "gemma-3-270m"
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TIME: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
SCHEMAS = {"get_weather": WEATHER, "get_time": TIME}
TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "get_time", "parameters": TIME}},
]
FLAT: Any = [{"type": "function", "strict": False, **tool["function"]} for tool in TOOLS]
CLAUDE: Any = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]
QUESTION: Any = [{"role": "user", "content": "Времето в София?"}]
SOFIA = '{"city": "София", "unit": "C"}'
ONE = f'<tool_call>\n{{"name": "get_weather", "arguments": {SOFIA}}}\n</tool_call>'
TWO = f'Ще проверя.\n{ONE}\n<tool_call>\n{{"name": "get_time", "arguments": {{}}}}\n</tool_call>'
THINKING = TEMPLATE.replace("<|assistant|>{% endif %}", "<|assistant|>{% endif %}{# </think> #}")


@asynccontextmanager
async def saying(
    folder: Path, *answers: str, template: str = TEMPLATE, dialect: str | None = None
) -> AsyncIterator[str]:
    """The address of an endpoint whose model says `answers`, one a turn."""
    pool = ModelPool(["scripted"], ScriptedLoader(folder, answers, template=template, tool_dialect=dialect))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = DrainingServer(create_app(pool, ServerConfig(), ()), pool, drain_seconds=0.5)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
            await pool.close()


def openai_at(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)


def calls_of(message: Any) -> list[tuple[str, str]]:
    return [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]


def events_of(stream: str) -> list[Any]:
    """The objects of a stream's events."""
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]
