"""The Responses API, through the real OpenAI client."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import regex
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types.responses import Response, ResponseItem, ResponseReasoningItem, ResponseStreamEvent
from openai.types.responses.response_item_list import ResponseItemList
from pydantic import TypeAdapter

from runtime.config import cache_dir
from tests.runtime.api.test_parameters import REASONING_TEMPLATE
from tests.server import ServerProcess, serving
from tests.tiny.gguf import write_tiny_gguf

CHAT = "smollm2-135m-instruct"
QUESTION = "What is the capital of France? Answer in one sentence."
EVENTS: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    thinker = write_tiny_gguf(
        tmp_path_factory.mktemp("models") / "thinker.gguf", chat_template=REASONING_TEMPLATE, context_length=512
    )
    with serving(CHAT, str(thinker), "--context", "1024") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as client:
        yield client


def ask(client: OpenAI, question: Any = QUESTION, **more: Any) -> Any:
    create: Any = client.responses.create
    return create(**{"model": CHAT, "input": question, "temperature": 0, "max_output_tokens": 40} | more)


def sent_events(server: ServerProcess, **body: Any) -> list[ResponseStreamEvent]:
    """The events of a streamed response as they are on the wire, each as the type that OpenAI has for it."""
    answer = httpx.post(
        f"{server.base_url}/responses", json={"input": QUESTION, "temperature": 0, "stream": True} | body, timeout=60
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = []
    for block in answer.text.strip().split("\n\n"):
        name, data = block.split("\n")
        event = EVENTS.validate_json(data.removeprefix("data: "), strict=True)
        assert name == f"event: {event.type}"
        events.append(event)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return events


def without_repeats(names: list[str]) -> list[str]:
    return [name for before, name in zip(["", *names], names, strict=False) if name != before]


def test_a_response_answers_and_has_all_that_openai_has(client: OpenAI, server: ServerProcess) -> None:
    answer = ask(client, metadata={"case": "7"}, instructions="You are brief.", user="me")
    assert "Paris" in answer.output_text
    assert (answer.status, answer.model, answer.metadata) == ("completed", CHAT, {"case": "7"})
    assert (answer.instructions, answer.temperature, answer.top_p) == ("You are brief.", 0, 1)
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 30
    raw = httpx.post(f"{server.base_url}/responses", json={"input": "Hi", "max_output_tokens": 2}).json()
    TypeAdapter(Response).validate_python(raw)


def test_the_events_come_in_openais_order_and_make_up_the_whole_answer(client: OpenAI, server: ServerProcess) -> None:
    whole = ask(client)
    events = sent_events(server, max_output_tokens=40)
    assert without_repeats([event.type for event in events]) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 3
    assert "".join(deltas) == whole.output_text
    first, last = events[0], events[-1]
    assert first.type == "response.created" and last.type == "response.completed"
    assert (first.response.status, first.response.output) == ("in_progress", [])
    assert last.response.output_text == whole.output_text
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == whole.usage.output_tokens


def test_the_clients_own_stream_helper_follows_the_events(client: OpenAI) -> None:
    with client.responses.stream(model=CHAT, input=QUESTION, temperature=0, max_output_tokens=40) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text
    assert "Paris" in text


def test_an_answer_that_is_cut_off_is_incomplete(client: OpenAI, server: ServerProcess) -> None:
    answer = ask(client, max_output_tokens=3)
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output[0].status == "incomplete"
    assert sent_events(server, max_output_tokens=3)[-1].type == "response.incomplete"


def test_reasoning_is_an_item_of_its_own_with_its_own_events(client: OpenAI, server: ServerProcess) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    events = sent_events(server, model="thinker", input="the world", max_output_tokens=20, temperature=0)
    names = without_repeats([event.type for event in events])
    assert names == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    last = events[-1]
    assert last.type == "response.incomplete"
    (item,) = last.response.output
    assert isinstance(item, ResponseReasoningItem) and item.content
    assert item.content[0].text
    assert last.response.output_text == ""
    assert last.response.usage is not None
    assert 0 < last.response.usage.output_tokens_details.reasoning_tokens <= 20
    plain = ask(
        client,
        "the world",
        model="thinker",
        reasoning={"effort": "none"},
        text={"format": {"type": "json_schema", "name": "a", "schema": schema}},
    )
    assert [item.type for item in plain.output] == ["message"]
    assert regex.fullmatch(r'\s*\{\s*"a"\s*:\s*(true|false)\s*\}\s*', plain.output_text)
    assert plain.text.format.type == "json_schema"


def test_a_list_of_messages_is_taken_with_earlier_answers_and_their_reasoning(client: OpenAI) -> None:
    turns = [
        {"role": "developer", "content": "Answer in one sentence."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Name a colour."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Blue."}]},
        {"role": "user", "content": QUESTION},
    ]
    chat = client.chat.completions.create(
        model=CHAT,
        temperature=0,
        max_tokens=40,
        messages=[
            {"role": "system", "content": "Answer in one sentence."},
            {"role": "user", "content": "Name a colour."},
            {"role": "assistant", "content": "Blue."},
            {"role": "user", "content": QUESTION},
        ],
    )
    answer = ask(client, turns)
    assert answer.output_text == chat.choices[0].message.content
    assert chat.usage is not None
    assert answer.usage.input_tokens == chat.usage.prompt_tokens


def test_a_conversation_goes_on_from_a_kept_answer_without_its_instructions(client: OpenAI) -> None:
    first = ask(client, "My name is Ada.", instructions="You are brief.")
    second = ask(client, "What is my name?", previous_response_id=first.id, max_output_tokens=8)
    turns = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "What is my name?"},
    ]
    spelled = ask(client, turns, max_output_tokens=8)
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens == spelled.usage.input_tokens
    assert second.output_text == spelled.output_text
    third = ask(client, "And then?", previous_response_id=second.id)
    assert third.usage.input_tokens > second.usage.input_tokens


def test_a_kept_answer_can_be_read_back_until_it_is_deleted(client: OpenAI) -> None:
    answer = ask(client)
    later = ask(client, "Thank you.", previous_response_id=answer.id)
    assert client.responses.retrieve(answer.id).to_dict() == answer.to_dict()
    client.responses.delete(answer.id)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(answer.id)
    with pytest.raises(NotFoundError):
        client.responses.delete(answer.id)
    with pytest.raises(BadRequestError) as caught:
        ask(client, previous_response_id=answer.id)
    assert (caught.value.param, caught.value.code) == ("previous_response_id", "previous_response_not_found")
    assert ask(client, "Why?", previous_response_id=later.id).status == "completed"


def test_a_streamed_answer_is_kept_by_the_time_its_end_is_told(client: OpenAI) -> None:
    for event in ask(client, stream=True):
        if event.type == "response.completed":
            assert client.responses.retrieve(event.response.id).output_text == event.response.output_text


def test_an_answer_that_is_not_to_be_kept_leaves_nothing_behind(client: OpenAI) -> None:
    answer = ask(client, "The password is zanzibar.", store=False)
    assert answer.to_dict()["store"] is False
    with pytest.raises(NotFoundError):
        client.responses.retrieve(answer.id)
    kept = ask(client, "The password is madagascar.")
    assert kept.to_dict()["store"] is True
    file = cache_dir() / "responses.sqlite3"
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"zanzibar" not in file.read_bytes()
    assert b"madagascar" in file.read_bytes()
    client.responses.delete(kept.id)
    assert b"madagascar" not in file.read_bytes()


def test_a_server_can_keep_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMOTIC_CACHE_DIR", str(tmp_path))
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    with serving(str(model), "--no-store") as server, OpenAI(base_url=server.base_url, api_key="-") as client:
        answer = ask(client, "the world", model="tiny")
        assert answer.to_dict()["store"] is False
        with pytest.raises(NotFoundError):
            client.responses.retrieve(answer.id)
        for field, value in (("store", True), ("previous_response_id", answer.id)):
            with pytest.raises(BadRequestError, match="keeps no responses") as caught:
                ask(client, "the", model="tiny", **{field: value})
            assert caught.value.param == field
    assert not (tmp_path / "responses.sqlite3").exists()


def test_with_keys_an_answer_belongs_to_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMOTIC_CACHE_DIR", str(tmp_path))
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    with serving(str(model), "--api-key", "key-of-ada", "--api-key", "key-of-bob") as server:
        ada, bob = (
            OpenAI(base_url=server.base_url, api_key=key, max_retries=0) for key in ("key-of-ada", "key-of-bob")
        )
        answer = ask(ada, "the world", model="tiny")
        assert ada.responses.retrieve(answer.id).id == answer.id
        with pytest.raises(NotFoundError):
            bob.responses.retrieve(answer.id)
        with pytest.raises(NotFoundError):
            bob.responses.delete(answer.id)
        with pytest.raises(BadRequestError, match="no response"):
            ask(bob, "and", model="tiny", previous_response_id=answer.id)
        assert ada.responses.retrieve(answer.id).id == answer.id
        ada.close()
        bob.close()
    with sqlite3.connect(tmp_path / "responses.sqlite3") as connection:
        owners = {owner for (owner,) in connection.execute("SELECT owner FROM responses")}
    connection.close()
    assert len(owners) == 1
    assert not any("key-of" in owner for owner in owners)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].name", "required"),
        ({"tools": [{"type": "function", "name": "f g", "parameters": {}}]}, "tools", "1 to 64"),
        ({"tool_choice": "required"}, "tool_choice", "no tools"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "item_reference"),
        ({"input": [{"type": "function_call", "call_id": "1", "name": "f"}]}, "input[0]", "'arguments'"),
        ({"truncation": "auto"}, "truncation", "'disabled'"),
        ({"background": True}, "background", "not supported"),
        ({"conversation": "conv_1"}, "conversation", "not supported"),
        ({"include": ["file_search_call.results"]}, "include", "file_search_call"),
        ({"top_logprobs": 2}, "top_logprobs", "needs 'include'"),
        ({"input": []}, "input", "at least one"),
        ({"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "input", "the call '1'"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content[0]",
            "input_image",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]},
            "input[0].content[0]",
            "input_file",
        ),
        ({"metadata": {"key": "v" * 513}}, "metadata", "512"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort", "no levels"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format", "'schema'"),
        ({"temperature": 3}, "temperature", "less than"),
        ({"max_output_tokens": 0}, "max_output_tokens", "greater"),
        ({"previous_response_id": "resp_0"}, "previous_response_id", "resp_0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(client: OpenAI, fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as caught:
        ask(client, **fields)
    assert caught.value.param == param


LOGPROBS = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}


def test_logprobs_are_those_of_the_answers_tokens_streamed_or_not(client: OpenAI, server: ServerProcess) -> None:
    answer = ask(client, **LOGPROBS)
    assert "logprobs" in answer.output[0].content[0].to_dict()
    told = answer.output[0].content[0].logprobs
    assert b"".join(bytes(token.bytes) for token in told).decode() == answer.output_text
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in told)
    assert answer.to_dict()["top_logprobs"] == 2
    events = sent_events(server, max_output_tokens=40, **LOGPROBS)
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [token.token for event in deltas for token in event.logprobs] == [token.token for token in told]
    (done,) = [event for event in events if event.type == "response.output_text.done"]
    assert len(done.logprobs) == len(told)
    assert ask(client).output[0].content[0].logprobs == []


def test_what_a_kept_answer_answers_can_be_read_in_pages(client: OpenAI, server: ServerProcess) -> None:
    first = ask(client, "My name is Ada.", instructions="You are brief.", max_output_tokens=4)
    second = ask(
        client,
        [
            {"role": "developer", "content": "Answer in one word."},
            {"role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]},
        ],
        previous_response_id=first.id,
        max_output_tokens=4,
    )
    shown = list(client.responses.input_items.list(second.id, order="asc", limit=3))
    texts = [item.to_dict()["content"][0]["text"] for item in shown if item.type == "message"]  # type: ignore[index]  # a list of dictionaries
    assert texts == ["My name is Ada.", first.output_text, "Answer in one word.", "What is my name?"]
    assert [item.role for item in shown if item.type == "message"] == ["user", "assistant", "system", "user"]
    newest = client.responses.input_items.list(second.id, limit=1)
    assert newest.data == shown[-1:]
    later = client.responses.input_items.list(second.id, after=shown[-1].id or "")
    assert [item.id for item in later.data] == [item.id for item in reversed(shown[:-1])]
    assert [item.id for item in client.responses.input_items.list(first.id).data] != []
    raw = httpx.get(f"{server.base_url}/responses/{second.id}/input_items", params={"limit": 2})
    page = TypeAdapter(ResponseItemList).validate_json(raw.content, strict=True)
    assert (len(page.data), page.has_more) == (2, True)
    with pytest.raises(BadRequestError, match="no item 'msg_0'") as caught:
        client.responses.input_items.list(second.id, after="msg_0")
    assert caught.value.param == "after"
    with pytest.raises(NotFoundError):
        client.responses.input_items.list("resp_0")


def test_calls_and_their_results_are_input_items_too(client: OpenAI) -> None:
    turns = [
        {"role": "user", "content": "What time is it?"},
        {"type": "function_call", "call_id": "call_1", "name": "clock", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "12:00"},
    ]
    clock = {"type": "function", "name": "clock", "parameters": {"type": "object", "properties": {}}}
    answer = ask(client, turns, tools=[clock], tool_choice="none", max_output_tokens=4)
    page = client.responses.input_items.list(answer.id, order="asc")
    items = TypeAdapter(list[ResponseItem]).validate_python([item.to_dict() for item in page.data], strict=True)
    assert [item.type for item in items] == ["message", "function_call", "function_call_output"]
    call, result = items[1].to_dict(), items[2].to_dict()
    assert (call["name"], call["arguments"], call["call_id"]) == ("clock", "{}", "call_1")
    assert (result["output"], result["call_id"]) == ("12:00", "call_1")


def test_fields_that_ask_for_nothing_are_taken_and_unknown_ones_are_named(client: OpenAI) -> None:
    answer = client.responses.with_raw_response.create(
        model=CHAT,
        input="Hi",
        max_output_tokens=2,
        tools=[],
        tool_choice="auto",
        truncation="disabled",
        parallel_tool_calls=False,
        service_tier="auto",
        extra_body={"colour": "blue"},
    )
    assert answer.headers["x-demotic-ignored"] == "colour, service_tier"
    assert answer.parse().parallel_tool_calls is False


def test_a_kept_answer_cannot_be_streamed(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="stream"):
        client.responses.retrieve(ask(client, max_output_tokens=2).id, stream=True)
