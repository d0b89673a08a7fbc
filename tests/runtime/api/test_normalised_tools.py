"""Arguments of calls as their schemas ask for them, in every shape of answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from openai.types.chat import ChatCompletion

from tests.runtime.api.weather import (
    ONE,
    QUESTION,
    TOOLS,
    calls_of,
    events_of,
    openai_at,
    saying,
)

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
