"""Tools through the real clients of OpenAI: real models that must call."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jsonschema
import pytest
from anthropic.types import Message as AnthropicMessage
from openai import BadRequestError, OpenAI
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel

from tests.runtime.api.weather import (
    BASE,
    CHAT,
    CLAUDE,
    FLAT,
    SCHEMAS,
    TOOLS,
    WEATHER,
    calls_of,
)

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
