"""Tools through the real clients of OpenAI and Anthropic: a scripted model that calls freely."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message as AnthropicMessage
from openai.types.chat import ChatCompletion
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseStreamEvent
from pydantic import TypeAdapter

from runtime.chat.template import ChatTemplate, Message
from runtime.chat.tools.call import Tool
from tests.fakes.scripted import TEMPLATE
from tests.runtime.api.weather import (
    CLAUDE,
    FLAT,
    ONE,
    QUESTION,
    SOFIA,
    THINKING,
    TIME,
    TOOLS,
    TWO,
    WEATHER,
    calls_of,
    events_of,
    openai_at,
    saying,
)


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
