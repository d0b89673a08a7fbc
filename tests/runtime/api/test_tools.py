"""Tools through the real clients of OpenAI and Anthropic: a scripted model that calls freely, and real ones that must."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message as AnthropicMessage
from openai import AsyncOpenAI, BadRequestError, OpenAI
from openai.types.chat import ChatCompletion
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from runtime.api.app import create_app
from runtime.api.server import DrainingServer
from runtime.chat.template import ChatTemplate, Message
from runtime.chat.tools.call import Tool
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


async def test_a_model_calls_tools_and_is_told_what_became_of_them(tmp_path: Path) -> None:
    async with saying(tmp_path, TWO, "В София е 18 °C.") as url, openai_at(url) as client:
        first = await client.chat.completions.create(model="scripted", messages=QUESTION, tools=TOOLS)
        ChatCompletion.model_validate_json(first.model_dump_json(), strict=True)
        (choice,) = first.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "Ще проверя."
        assert calls_of(choice.message) == [("get_weather", SOFIA), ("get_time", "{}")]
        assert all(call.id.startswith("call_") for call in choice.message.tool_calls or ())
        weather, time = list(choice.message.tool_calls or ())
        turns = [
            *QUESTION,
            choice.message,
            {"role": "tool", "tool_call_id": weather.id, "content": "18 °C"},
            {"role": "tool", "tool_call_id": time.id, "content": [{"type": "text", "text": "12:30"}]},
        ]
        second = await client.chat.completions.create(model="scripted", messages=turns, tools=TOOLS)
        assert second.choices[0].finish_reason == "stop"
        assert second.choices[0].message.content == "В София е 18 °C."
        assert second.choices[0].message.tool_calls is None


async def test_a_streamed_call_comes_as_deltas_that_the_client_joins(tmp_path: Path) -> None:
    async with saying(tmp_path, TWO) as url, openai_at(url) as client:
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="scripted", messages=QUESTION, tools=TOOLS, stream=True
            )
        ]
        deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
        told = [
            (call.index, bool(call.id), call.type, call.function.name, call.function.arguments)
            for call in deltas
            if call.function
        ]
        assert told == [
            (0, True, "function", "get_weather", ""),
            (0, False, None, None, SOFIA),
            (1, True, "function", "get_time", ""),
            (1, False, None, None, "{}"),
        ]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Ще проверя."
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["tool_calls"]
        async with client.chat.completions.stream(model="scripted", messages=QUESTION, tools=TOOLS) as stream:
            kinds = [event.type async for event in stream]
            whole = await stream.get_final_completion()
        assert kinds.count("tool_calls.function.arguments.done") == 2
        assert calls_of(whole.choices[0].message) == [("get_weather", SOFIA), ("get_time", "{}")]


async def test_what_is_no_call_is_content_and_the_answer_ends_as_any_other(tmp_path: Path) -> None:
    broken = '<tool_call>\n{"name": "get_wea'
    async with saying(tmp_path, f"Hm. {broken}", dialect="tucan") as url, openai_at(url) as client:
        answer = await client.chat.completions.create(model="scripted", messages=QUESTION, tools=TOOLS)
        assert answer.choices[0].message.content == f"Hm. {broken}"
        assert answer.choices[0].finish_reason == "stop"
    async with saying(tmp_path, ONE) as url, openai_at(url) as client:
        for choice in ("none", None):
            more: Any = {} if choice is None else {"tools": TOOLS, "tool_choice": choice}
            answer = await client.chat.completions.create(model="scripted", messages=QUESTION, **more)
            assert answer.choices[0].message.content == ONE
            assert answer.choices[0].message.tool_calls is None
            assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("max_tokens", [5, 30, 60, 90])
async def test_a_call_that_is_cut_off_is_text_and_ends_by_its_length(tmp_path: Path, max_tokens: int) -> None:
    async with saying(tmp_path, ONE) as url, openai_at(url) as client:
        answer = await client.chat.completions.create(
            model="scripted", messages=QUESTION, tools=TOOLS, max_completion_tokens=max_tokens
        )
        (choice,) = answer.choices
        assert choice.finish_reason == "length"
        assert choice.message.tool_calls is None
        assert choice.message.content == ONE.encode()[:max_tokens].decode(errors="replace")


@pytest.mark.parametrize("max_tokens", [30, 90])
async def test_a_call_that_is_cut_off_is_text_in_every_shape(tmp_path: Path, max_tokens: int) -> None:
    raw = ONE.encode()[:max_tokens].decode(errors="replace")
    async with saying(tmp_path, ONE) as url, httpx.AsyncClient(base_url=url) as http:
        chat = {"messages": QUESTION, "tools": TOOLS, "max_tokens": max_tokens, "stream": True}
        chunks = events_of((await http.post("/v1/chat/completions", json=chat)).text)
        said = [choice for chunk in chunks for choice in chunk["choices"]]
        assert "".join(choice["delta"].get("content") or "" for choice in said) == raw
        assert said[-1]["finish_reason"] == "length"
        response = {"input": "?", "tools": FLAT, "max_output_tokens": max_tokens}
        answer = (await http.post("/v1/responses", json=response)).json()
        assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert [part["text"] for item in answer["output"] for part in item["content"]] == [raw]
        message = {"messages": QUESTION, "tools": CLAUDE, "max_tokens": max_tokens}
        answer = (await http.post("/v1/messages", json=message)).json()
        assert (answer["stop_reason"], [block["text"] for block in answer["content"]]) == ("max_tokens", [raw])


async def test_an_unknown_tool_is_content_where_the_model_is_free(tmp_path: Path) -> None:
    # A model that writes in the dialect of another stays unconstrained, and is not understood.
    stranger = '[TOOL_CALLS][{"name": "send_money", "arguments": {}}]'
    async with saying(tmp_path, stranger) as url, openai_at(url) as client:
        answer = await client.chat.completions.create(model="scripted", messages=QUESTION, tools=TOOLS)
        assert answer.choices[0].message.content == stranger


async def test_without_parallel_calls_an_answer_ends_after_the_first(tmp_path: Path) -> None:
    async with saying(tmp_path, TWO) as url, openai_at(url) as client:
        answer = await client.chat.completions.create(
            model="scripted", messages=QUESTION, tools=TOOLS, parallel_tool_calls=False
        )
        assert calls_of(answer.choices[0].message) == [("get_weather", SOFIA)]
        assert answer.choices[0].finish_reason == "tool_calls"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == len(f"Ще проверя.\n{ONE}".encode())


async def test_each_choice_has_calls_of_its_own_and_logprobs_stay_whole(tmp_path: Path) -> None:
    async with saying(tmp_path, ONE) as url, openai_at(url) as client:
        answer = await client.chat.completions.create(
            model="scripted", messages=QUESTION, tools=TOOLS, n=2, logprobs=True, top_logprobs=1
        )
        ids = set()
        for choice in answer.choices:
            assert calls_of(choice.message) == [("get_weather", SOFIA)]
            assert choice.logprobs is not None
            assert bytes(byte for token in choice.logprobs.content or () for byte in token.bytes or ()) == ONE.encode()
            ids |= {call.id for call in choice.message.tool_calls or ()}
        assert len(ids) == 2


async def test_reasoning_comes_apart_before_calls(tmp_path: Path) -> None:
    text = f"<think>\nI call <tool_call> now.\n</think>\n\n{ONE}"
    async with saying(tmp_path, text, template=THINKING) as url, openai_at(url) as client:
        answer = await client.chat.completions.create(model="scripted", messages=QUESTION, tools=TOOLS)
        message: Any = answer.choices[0].message
        assert message.reasoning_content == "I call <tool_call> now."
        assert message.content is None
        assert calls_of(message) == [("get_weather", SOFIA)]


async def test_a_required_call_waits_for_reasoning_that_has_begun(tmp_path: Path) -> None:
    template = TEMPLATE.replace("<|assistant|>{% endif %}", "<|assistant|><think>{% endif %}{# </think> #}")
    text = f"<think>Hm.</think>{ONE}"
    async with saying(tmp_path, text, template=template) as url, openai_at(url) as client:
        answer = await client.chat.completions.create(
            model="scripted", messages=QUESTION, tools=TOOLS, tool_choice="required"
        )
        message: Any = answer.choices[0].message
        assert message.reasoning_content == "Hm."
        assert calls_of(message) == [("get_weather", SOFIA)]


@pytest.mark.parametrize(
    ("said", "named", "language"),
    [
        ("Откъде мога да си купя билет за влака до морето?", None, "bul_Cyrl"),
        ("Πού μπορώ να αγοράσω εισιτήριο για το τρένο;", None, "ell_Grek"),
        ("Откъде мога да си купя билет за влака до морето?", "ja", "jpn_Jpan"),
        ("42?", None, None),
        ("Where can I buy a ticket for the train to the coast?", "auto", "eng_Latn"),
    ],
)
async def test_the_model_is_told_of_tools_in_the_language_of_the_question_or_the_one_that_is_named(
    tmp_path: Path, said: str, named: str | None, language: str | None
) -> None:
    known = [Tool("get_weather", "Weather.", WEATHER), Tool("get_time", "", TIME)]
    prompt = ChatTemplate(TEMPLATE).render([Message("user", said)], tools=known, language=language)
    claude = [{"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in known]
    turns = [{"role": "user", "content": said}]
    more = {} if named is None else {"language": named}
    async with saying(tmp_path, ONE) as url, httpx.AsyncClient(base_url=url) as http:
        for path, body, where in (
            ("/v1/chat/completions", {"messages": turns, "tools": TOOLS, "max_tokens": 1}, "prompt_tokens"),
            ("/v1/responses", {"input": said, "tools": FLAT, "max_output_tokens": 1}, "input_tokens"),
            ("/v1/messages/count_tokens", {"messages": turns, "tools": claude}, "input_tokens"),
        ):
            answer = (await http.post(path, json=body | more)).json()
            # A token a byte.
            assert answer.get("usage", answer)[where] == len(prompt.encode()), path


async def test_tools_count_among_the_tokens_of_a_prompt(tmp_path: Path) -> None:
    async with saying(tmp_path, ONE) as url, httpx.AsyncClient(base_url=url) as http, openai_at(url) as client:
        counts = []
        for more in ({}, {"tools": TOOLS}, {"tools": TOOLS, "tool_choice": "none"}):
            answer = await http.post("/v1/chat/completions/tokens", json={"messages": QUESTION, **more})
            counts.append(answer.json()["prompt_tokens"])
        answered = await client.chat.completions.create(model="scripted", messages=QUESTION, tools=TOOLS)
        assert answered.usage is not None
        assert counts[1] == answered.usage.prompt_tokens > counts[0] + 100
        assert counts[2] == counts[0]
        async with AsyncAnthropic(base_url=url, api_key="unused", max_retries=0) as claude:
            told = await claude.messages.count_tokens(model="scripted", messages=QUESTION, tools=CLAUDE)
            plain = await claude.messages.count_tokens(model="scripted", messages=QUESTION)
        assert told.input_tokens > plain.input_tokens + 100


async def test_the_responses_api_calls_tools_and_keeps_them_in_the_conversation(tmp_path: Path) -> None:
    async with saying(tmp_path, TWO, "18 °C.") as url, openai_at(url) as client:
        first = await client.responses.create(input="Времето?", tools=FLAT, model="scripted", store=False)
        Response.model_validate_json(first.model_dump_json(), strict=True)
        assert [item.type for item in first.output] == ["message", "function_call", "function_call"]
        calls = [item for item in first.output if isinstance(item, ResponseFunctionToolCall)]
        assert [(call.name, call.arguments, call.status) for call in calls] == [
            ("get_weather", SOFIA, "completed"),
            ("get_time", "{}", "completed"),
        ]
        asked: Any = [{"role": "user", "content": "Времето?"}]
        results: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "18 °C"} for call in calls]
        second = await client.responses.create(
            input=asked + first.output + results,
            tools=FLAT,
            model="scripted",
            store=False,
        )
        assert second.output_text == "18 °C."


async def test_the_responses_api_streams_calls_as_openais_events(tmp_path: Path) -> None:
    events_of: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    async with saying(tmp_path, ONE) as url, httpx.AsyncClient(base_url=url) as http:
        body = {"input": "Времето?", "tools": FLAT, "stream": True, "store": False}
        text = (await http.post("/v1/responses", json=body)).text
        events = [
            events_of.validate_json(block.split("\n")[1].removeprefix("data: "), strict=True)
            for block in text.strip().split("\n\n")
        ]
        assert [event.type for event in events] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert [event.sequence_number for event in events] == list(range(7))


@pytest.fixture
async def claude(tmp_path: Path) -> AsyncIterator[AsyncAnthropic]:
    async with (
        saying(tmp_path, TWO, "18 °C.") as url,
        AsyncAnthropic(base_url=url, api_key="unused", max_retries=0) as client,
    ):
        yield client


OPTIONS: Any = {"model": "scripted", "max_tokens": 500, "messages": QUESTION, "tools": CLAUDE}


async def test_anthropics_messages_call_tools(claude: AsyncAnthropic) -> None:
    first = await claude.messages.create(**OPTIONS)
    AnthropicMessage.model_validate_json(first.model_dump_json(), strict=True)
    assert first.stop_reason == "tool_use"
    assert [block.type for block in first.content] == ["text", "tool_use", "tool_use"]
    used = [block for block in first.content if block.type == "tool_use"]
    assert [(block.name, block.input) for block in used] == [("get_weather", json.loads(SOFIA)), ("get_time", {})]
    results = [
        {"type": "tool_result", "tool_use_id": used[0].id, "content": [{"type": "text", "text": "18 °C"}]},
        {"type": "tool_result", "tool_use_id": used[1].id, "content": "no clock", "is_error": True},
        {"type": "text", "text": "Е?"},
    ]
    turns = [*QUESTION, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = await claude.messages.create(**OPTIONS | {"messages": turns})
    assert (second.stop_reason, second.content[0].type) == ("end_turn", "text")


async def test_anthropics_stream_has_each_call_as_a_block(claude: AsyncAnthropic) -> None:
    raw = [event async for event in await claude.messages.create(stream=True, **OPTIONS)]
    calls = [event for event in raw if getattr(event, "index", 0) == 1]
    assert [event.type for event in calls if event.type.startswith("content")] == [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ]
    async with claude.messages.stream(**OPTIONS) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert kinds.count("input_json") == 2
    assert final.stop_reason == "tool_use"
    assert [block.input for block in final.content if block.type == "tool_use"] == [json.loads(SOFIA), {}]


@pytest.mark.parametrize(
    ("choice", "blocks"),
    [
        ({"type": "auto", "disable_parallel_tool_use": True}, ["text", "tool_use"]),
        ({"type": "auto"}, ["text", "tool_use", "tool_use"]),
        ({"type": "none"}, ["text"]),
    ],
)
async def test_anthropics_choice_is_kept(claude: AsyncAnthropic, choice: Any, blocks: list[str]) -> None:
    answer = await claude.messages.create(tool_choice=choice, **OPTIONS)
    assert [block.type for block in answer.content] == blocks


PROMPTS = ["What is the weather in Sofia?", "Какво е времето в София?", "パリの天気は?", "xyzzy"]


@pytest.mark.parametrize("model", [CHAT, BASE])
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("temperature", [0, 1])
def test_a_call_that_must_be_always_parses_and_validates(
    client: OpenAI, model: str, prompt: str, temperature: float
) -> None:
    create: Any = client.chat.completions.create
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        answer = create(
            model=model,
            messages=[{"role": "user", "content": prompt}],
            tools=TOOLS,
            tool_choice=choice,
            parallel_tool_calls=False,
            temperature=temperature,
            seed=1,
            max_completion_tokens=200,
        )
        (made,) = answer.choices
        assert made.finish_reason == "tool_calls"
        assert made.message.content is None
        ((name, arguments),) = calls_of(made.message)
        jsonschema.validate(json.loads(arguments), SCHEMAS[name])
        assert choice == "required" or name == "get_weather"
        assert "\\u" not in arguments


def test_only_the_tools_that_are_allowed_are_called(client: OpenAI) -> None:
    create: Any = client.chat.completions.create
    chat = {"model": CHAT, "messages": [{"role": "user", "content": PROMPTS[0]}], "tools": TOOLS, "temperature": 0}
    listed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]}
    answer = create(**chat, tool_choice={"type": "allowed_tools", "allowed_tools": listed}, parallel_tool_calls=False)
    assert calls_of(answer.choices[0].message) == [("get_time", "{}")]
    flat: Any = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_time"}]}
    response = client.responses.create(
        model=CHAT, input=PROMPTS[0], tools=FLAT, tool_choice=flat, parallel_tool_calls=False, temperature=0
    )
    (item,) = response.output
    assert isinstance(item, ResponseFunctionToolCall)
    assert (item.name, item.arguments) == ("get_time", "{}")
    listed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "get_money"}}]}
    with pytest.raises(BadRequestError, match="no tool named 'get_money'"):
        create(**chat, tool_choice={"type": "allowed_tools", "allowed_tools": listed})


def test_the_old_names_of_tools_are_refused_by_name(client: OpenAI) -> None:
    create: Any = client.chat.completions.create
    chat = {"model": CHAT, "messages": [{"role": "user", "content": PROMPTS[0]}], "max_tokens": 1}
    for old in ({"functions": [TOOLS[0]["function"]]}, {"function_call": "auto"}):
        with pytest.raises(BadRequestError) as refused:
            create(**chat, **old)
        assert refused.value.param == next(iter(old))


def test_a_stream_of_a_call_is_the_same_call(client: OpenAI) -> None:
    options: Any = {
        "model": CHAT,
        "messages": [{"role": "user", "content": PROMPTS[0]}],
        "tools": TOOLS,
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "temperature": 0,
    }
    whole = client.chat.completions.create(**options)
    with client.chat.completions.stream(**options) as stream:
        streamed = stream.until_done().get_final_completion()
    assert calls_of(streamed.choices[0].message) == calls_of(whole.choices[0].message)
    assert streamed.choices[0].finish_reason == whole.choices[0].finish_reason == "tool_calls"


class Weather(BaseModel):
    """A tool of pydantic's."""

    city: str
    unit: str


def test_the_clients_own_helpers_parse_strict_tools(client: OpenAI) -> None:
    from openai import pydantic_function_tool

    tool: Any = pydantic_function_tool(Weather, name="get_weather")
    tool["function"]["parameters"]["properties"]["city"]["maxLength"] = 20
    tool["function"]["parameters"]["properties"]["unit"]["maxLength"] = 20
    answer = client.chat.completions.parse(
        model=CHAT,
        messages=[{"role": "user", "content": PROMPTS[0]}],
        tools=[tool],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    )
    (call,) = list(answer.choices[0].message.tool_calls or ())
    assert isinstance(call.function.parsed_arguments, Weather)


def test_other_shapes_have_a_real_model_call_too(client: OpenAI, http: httpx.Client) -> None:
    flat = client.responses.create(
        model=CHAT,
        input=PROMPTS[0],
        tools=FLAT,
        tool_choice={"type": "function", "name": "get_weather"},
        temperature=0,
    )
    (item,) = flat.output
    assert isinstance(item, ResponseFunctionToolCall)
    jsonschema.validate(json.loads(item.arguments), WEATHER)
    kept = client.responses.create(
        model=CHAT,
        previous_response_id=flat.id,
        input=[{"type": "function_call_output", "call_id": item.call_id, "output": "18 °C"}],
        max_output_tokens=5,
    )
    assert kept.usage is not None
    for choice, names in (({"type": "tool", "name": "get_time"}, {"get_time"}), ({"type": "any"}, set(SCHEMAS))):
        body = {
            "model": CHAT,
            "messages": [{"role": "user", "content": PROMPTS[0]}],
            "max_tokens": 100,
            "temperature": 0,
            "tools": CLAUDE,
            "tool_choice": {**choice, "disable_parallel_tool_use": True},
        }
        answer = AnthropicMessage.model_validate(http.post("/v1/messages", json=body).json())
        (block,) = answer.content
        assert block.type == "tool_use"
        assert block.name in names
        jsonschema.validate(block.input, SCHEMAS[block.name])
        assert answer.stop_reason == "tool_use"


def test_a_call_or_an_answer_in_json_are_both_possible(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": PROMPTS[0]}],
        tools=TOOLS,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"type": "object", "properties": {"ok": {"type": "boolean"}}}},
        },
        temperature=0,
        max_completion_tokens=200,
    )
    message = answer.choices[0].message
    assert message.tool_calls or isinstance(json.loads(message.content or ""), dict)


BOOKING: dict[str, Any] = {
    "type": "object",
    "properties": {"people": {"type": "integer"}, "day": {"type": "string", "format": "date"}},
    "required": ["people", "day"],
    # No grammar can hold this, so that the model is free in its arguments.
    "not": {"required": ["nothing"]},
}
WRITTEN = '{"people": "٤", "day": "1 رمضان 1445 هـ"}'
NORMAL = '{"people": 4, "day": "2024-03-11"}'
CHANGES = [
    {"path": "/people", "from": "٤", "to": 4, "rule": "number"},
    {"path": "/day", "from": "1 رمضان 1445 هـ", "to": "2024-03-11", "rule": "hijri"},
]
BOOK = f'<tool_call>\n{{"name": "book", "arguments": {WRITTEN}}}\n</tool_call>'
BOOKS: Any = [{"type": "function", "function": {"name": "book", "parameters": BOOKING}}]


async def test_arguments_are_normalised_and_every_change_is_told(tmp_path: Path) -> None:
    async with saying(tmp_path, BOOK, "تم الحجز.") as url, openai_at(url) as client:
        whole = await client.chat.completions.create(model="scripted", messages=QUESTION, tools=BOOKS)
        ChatCompletion.model_validate_json(whole.model_dump_json(), strict=True)
        message = whole.choices[0].message
        assert calls_of(message) == [("book", NORMAL)]
        (call,) = list(message.tool_calls or ())
        assert call.model_extra == {"demotic": {"changes": CHANGES}}
        turns = [*QUESTION, message, {"role": "tool", "tool_call_id": call.id, "content": "ok"}]
        after = await client.chat.completions.create(model="scripted", messages=turns, tools=BOOKS)
        assert after.choices[0].message.content == "تم الحجز."


async def test_a_stream_has_only_the_normalised_arguments_and_their_changes_with_the_last(tmp_path: Path) -> None:
    async with saying(tmp_path, BOOK) as url, openai_at(url) as client:
        stream = await client.chat.completions.create(model="scripted", messages=QUESTION, tools=BOOKS, stream=True)
        deltas = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
        assert "".join(call.function.arguments or "" for call in deltas if call.function) == NORMAL
        assert [call.model_extra for call in deltas] == [{}, {"demotic": {"changes": CHANGES}}]


async def test_the_other_apis_tell_changes_too(tmp_path: Path) -> None:
    flat = [{"type": "function", "name": "book", "parameters": BOOKING}]
    claude = [{"name": "book", "input_schema": BOOKING}]
    async with saying(tmp_path, BOOK) as url, httpx.AsyncClient(base_url=url) as http:
        response = {"input": "?", "tools": flat}
        (item,) = (await http.post("/v1/responses", json=response)).json()["output"]
        events = events_of((await http.post("/v1/responses", json={**response, "stream": True})).text)
        for told in (item, events[-1]["response"]["output"][0]):
            assert (told["arguments"], told["demotic"]) == (NORMAL, {"changes": CHANGES})
        message = {"messages": QUESTION, "max_tokens": 200, "tools": claude}
        (block,) = (await http.post("/v1/messages", json=message)).json()["content"]
        assert (block["input"], block["demotic"]) == (json.loads(NORMAL), {"changes": CHANGES})
        events = events_of((await http.post("/v1/messages", json={**message, "stream": True})).text)
        assert [event["content_block"]["demotic"] for event in events if "content_block" in event] == [
            {"changes": CHANGES}
        ]
        assert NORMAL in [event["delta"].get("partial_json") for event in events if "delta" in event]


def events_of(stream: str) -> list[Any]:
    """The objects of a stream's events."""
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


async def test_arguments_stay_as_they_are_where_normalisation_is_off(tmp_path: Path) -> None:
    async with saying(tmp_path, BOOK) as url, openai_at(url) as client:
        answer = await client.chat.completions.create(
            model="scripted", messages=QUESTION, tools=BOOKS, extra_body={"normalize": False}
        )
        assert calls_of(answer.choices[0].message) == [("book", WRITTEN)]
        assert [call.model_extra for call in answer.choices[0].message.tool_calls or ()] == [{}]


async def test_a_call_that_needs_no_change_says_nothing_of_changes(tmp_path: Path) -> None:
    async with saying(tmp_path, ONE) as url, httpx.AsyncClient(base_url=url) as http:
        answer = await http.post("/v1/chat/completions", json={"messages": QUESTION, "tools": TOOLS})
        (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
        assert set(call) == {"id", "type", "function"}
