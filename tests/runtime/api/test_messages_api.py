"""Anthropic's messages, through the real Anthropic client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import Anthropic, AuthenticationError, BadRequestError, NotFoundError
from anthropic.types import ErrorResponse, Message, RawMessageStreamEvent
from openai import OpenAI
from pydantic import TypeAdapter

from tests.runtime.api.test_parameters import REASONING_TEMPLATE
from tests.server import ServerProcess, serving
from tests.tiny.gguf import write_tiny_gguf

CHAT = "smollm2-135m-instruct"
BASE = "gemma-3-270m"
QUESTION = "What is the capital of France? Answer in one sentence."
EVENTS: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("models")
    thinker = write_tiny_gguf(folder / "thinker.gguf", chat_template=REASONING_TEMPLATE, context_length=512)
    with serving(CHAT, BASE, str(thinker), "--context", "1024", "--no-store") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def openai_client(server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as client:
        yield client


def ask(client: Anthropic, question: Any = QUESTION, **more: Any) -> Any:
    messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
    create: Any = client.messages.create
    return create(**{"model": CHAT, "messages": messages, "extra_body": {"temperature": 0}, "max_tokens": 40} | more)


def sent_events(server: ServerProcess, **body: Any) -> list[RawMessageStreamEvent]:
    """The events of a streamed message as they are on the wire, each as the type that Anthropic has for it."""
    sent = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 40, "temperature": 0, "stream": True}
    answer = httpx.post(f"{server.base_url}/messages", json=sent | body, timeout=60)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events: list[RawMessageStreamEvent] = []
    pings: list[tuple[int, str]] = []
    for block in answer.text.strip().split("\n\n"):
        name, data = block.split("\n")
        # The client skips these before it looks for a type.
        if name == "event: ping":
            pings.append((len(events), data))
            continue
        event = EVENTS.validate_json(data.removeprefix("data: "), strict=True)
        assert name == f"event: {event.type}"
        events.append(event)
    assert pings == [(1, 'data: {"type":"ping"}')]
    return events


def names(events: list[RawMessageStreamEvent]) -> list[str]:
    found = [event.type for event in events]
    return [name for before, name in zip(["", *found], found, strict=False) if name != before]


def test_a_message_is_the_answer_that_the_chat_endpoint_gives(
    client: Anthropic, openai_client: OpenAI, server: ServerProcess
) -> None:
    answer = ask(client, system="Answer in one sentence.")
    chat = openai_client.chat.completions.create(
        model=CHAT,
        temperature=0,
        max_tokens=40,
        messages=[{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": QUESTION}],
    )
    (block,) = answer.content
    assert block.text == chat.choices[0].message.content
    assert (answer.model, answer.role, answer.stop_reason, answer.stop_sequence) == (
        CHAT,
        "assistant",
        "end_turn",
        None,
    )
    assert chat.usage is not None
    assert answer.usage.input_tokens + answer.usage.cache_read_input_tokens == chat.usage.prompt_tokens
    assert answer.usage.output_tokens == chat.usage.completion_tokens
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    TypeAdapter(Message).validate_json(httpx.post(f"{server.base_url}/messages", json=body).content, strict=True)


def test_the_events_come_in_anthropics_order_and_make_up_the_whole_answer(
    client: Anthropic, server: ServerProcess
) -> None:
    events = sent_events(server)
    assert names(events) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    pieces = [
        event.delta.text for event in events if event.type == "content_block_delta" and event.delta.type == "text_delta"
    ]
    assert len(pieces) > 3
    whole = ask(client)
    assert "".join(pieces) == whole.content[0].text
    start, end = events[0], events[-2]
    assert start.type == "message_start" and end.type == "message_delta"
    assert (start.message.content, start.message.stop_reason) == ([], None)
    assert start.message.usage.input_tokens == whole.usage.input_tokens + whole.usage.cache_read_input_tokens
    assert end.delta.stop_reason == "end_turn"
    assert end.usage.output_tokens == whole.usage.output_tokens


def test_the_clients_own_stream_helper_follows_the_events(client: Anthropic) -> None:
    messages: Any = [{"role": "user", "content": QUESTION}]
    with client.messages.stream(model=CHAT, messages=messages, max_tokens=40, extra_body={"temperature": 0}) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert "Paris" in text
    assert [block.text for block in final.content if block.type == "text"] == [text]
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 3


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_stop_sequence_that_ended_the_answer_is_told(client: Anthropic, *, is_streamed: bool) -> None:
    answer = ask(client, "Count from 1 to 9.", stop_sequences=["zebra", "3"], stream=is_streamed)
    if is_streamed:
        end = next(event for event in answer if event.type == "message_delta").delta
        assert (end.stop_reason, end.stop_sequence) == ("stop_sequence", "3")
    else:
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "3")
        assert "3" not in answer.content[0].text


def test_a_stop_that_the_request_did_not_ask_for_is_an_ordinary_end(client: Anthropic) -> None:
    answer = ask(client, "What is 2 + 2?", model=BASE, max_tokens=200, stop_sequences=["zebra"])
    assert "User:" not in answer.content[0].text
    assert (answer.stop_reason in {"end_turn", "max_tokens"}, answer.stop_sequence) == (True, None)


def test_an_answer_that_is_cut_off_says_so(client: Anthropic) -> None:
    answer = ask(client, max_tokens=3)
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)


def test_reasoning_is_a_thinking_block(client: Anthropic, server: ServerProcess) -> None:
    answer = ask(client, "the world", model="thinker", max_tokens=12)
    (block,) = answer.content
    assert block.type == "thinking" and block.thinking
    events = sent_events(server, model="thinker", max_tokens=12, thinking={"type": "enabled", "budget_tokens": 1024})
    deltas = {event.delta.type for event in events if event.type == "content_block_delta"}
    assert deltas == {"thinking_delta"}
    plain = ask(client, "the world", model="thinker", max_tokens=12, thinking={"type": "disabled"})
    assert [block.type for block in plain.content] == ["text"]


def test_an_answer_can_be_held_to_a_json_schema(client: Anthropic) -> None:
    schema = {"type": "object", "properties": {"capital": {"enum": ["Paris", "Rome"]}}, "required": ["capital"]}
    answer = ask(client, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(answer.content[0].text)["capital"] in {"Paris", "Rome"}


def test_tokens_are_counted_as_the_answer_counts_them(client: Anthropic) -> None:
    messages: Any = [{"role": "user", "content": "Zähl mich, пожалуйста."}]
    count = client.messages.count_tokens(model=CHAT, messages=messages, system="Be brief.").input_tokens
    usage = ask(client, messages, system="Be brief.", max_tokens=1).usage
    assert count == usage.input_tokens + usage.cache_read_input_tokens > 20
    assert client.messages.count_tokens(model=CHAT, messages=messages).input_tokens != count


def test_blocks_are_joined_and_neighbours_of_one_role_are_one_turn(client: Anthropic) -> None:
    def count(messages: Any, system: Any = "Be brief.\nBe kind.") -> int:
        return client.messages.count_tokens(model=CHAT, messages=messages, system=system).input_tokens

    plain = [
        {"role": "user", "content": "One.\nTwo."},
        {"role": "assistant", "content": "Three."},
        {"role": "user", "content": "Four."},
    ]
    spread = [
        {"role": "user", "content": "One."},
        {"role": "user", "content": [{"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm, hm.", "signature": ""},
                {"type": "text", "text": "Three."},
            ],
        },
        {"role": "user", "content": "Four."},
    ]
    system = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    assert count(spread, system) == count(plain)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, r"^tools\[0\]"),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "^A tool's name"),
        ({"tool_choice": {"type": "any"}}, "^A call is asked for"),
        ({"tool_choice": {"type": "tool"}}, "^tool_choice: .*'name'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}]},
            r"^messages\[0\].content\[0\]: blocks of type 'image'",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
            "^There is a result of the call 'x'",
        ),
        ({"messages": [{"role": "assistant", "content": "The capital"}]}, "^messages: must end with one of the user"),
        ({"messages": []}, "^messages: "),
        ({"max_tokens": None}, "^max_tokens: "),
        ({"temperature": 1.5}, "^temperature: "),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "^thinking: this model does not reason"),
        ({"output_config": {"effort": "high"}}, "no levels"),
    ],
)
def test_what_cannot_be_is_refused_by_name_in_anthropics_shape(
    server: ServerProcess, fields: dict[str, Any], words: str
) -> None:
    body = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4} | fields
    answer = httpx.post(f"{server.base_url}/messages", json=body)
    assert answer.status_code == 400
    error = ErrorResponse.model_validate_json(answer.content).error
    assert error.type == "invalid_request_error"
    assert re.search(words, error.message)


def test_every_fault_has_anthropics_shape_and_the_clients_class(client: Anthropic, server: ServerProcess) -> None:
    with pytest.raises(NotFoundError) as caught:
        ask(client, model="claude-1")
    error = ErrorResponse.model_validate(caught.value.body, strict=True).error
    assert (error.type, "claude-1" in error.message) == ("not_found_error", True)
    with pytest.raises(BadRequestError, match="the context holds"):
        ask(client, "word " * 2000)
    with pytest.raises(BadRequestError, match="A tool's name"):
        client.messages.count_tokens(
            model=CHAT,
            messages=[{"role": "user", "content": "Hi"}],
            tools=[{"name": "f g", "input_schema": {"type": "object"}}],
        )
    for status, answer in (
        (405, httpx.get(f"{server.base_url}/messages")),
        (404, httpx.post(f"{server.base_url}/messages/batches")),
        (400, httpx.post(f"{server.base_url}/messages", content="{", headers={"content-type": "application/json"})),
        (400, httpx.post(f"{server.base_url}/messages", json={}, headers={"host": "example.org"})),
        (413, httpx.post(f"{server.base_url}/messages", content=b" " * (9 * 2**20), timeout=60)),
    ):
        assert answer.status_code == status
        assert answer.json()["type"] == "error"
        assert set(answer.json()["error"]) == {"type", "message"}
    assert set(httpx.get(f"{server.base_url}/chat/completions").json()) == {"error"}


def test_a_key_may_come_in_anthropics_header(tmp_path: Path) -> None:
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    with serving(str(model), "--api-key", "secret", "--no-store") as server:
        with Anthropic(base_url=server.url, api_key="secret", max_retries=0) as client:
            assert ask(client, "the world", model="tiny", max_tokens=2).usage.output_tokens == 2
        with Anthropic(base_url=server.url, auth_token="secret", max_retries=0) as client:
            assert ask(client, "the world", model="tiny", max_tokens=2).usage.output_tokens == 2
        with (
            Anthropic(base_url=server.url, api_key="wrong", max_retries=0) as client,
            pytest.raises(AuthenticationError) as caught,
        ):
            ask(client, "the world", model="tiny")
        body: Any = caught.value.body
        assert body["error"]["type"] == "authentication_error"
        models = f"{server.base_url}/models"
        statuses = [httpx.get(models, headers={"x-api-key": key}).status_code for key in ("secret", "wrong", "")]
        assert statuses == [200, 401, 401]


def test_fields_that_ask_for_nothing_are_taken_and_those_that_are_not_kept_to_are_named(server: ServerProcess) -> None:
    body = {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 2,
        "tools": [],
        "tool_choice": {"type": "auto"},
        "metadata": {"user_id": "me"},
        "service_tier": "auto",
        "model": "thinker",
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    answer = httpx.post(f"{server.base_url}/messages", json=body)
    assert answer.status_code == 200
    assert answer.headers["x-demotic-ignored"] == "service_tier, thinking.budget_tokens"
