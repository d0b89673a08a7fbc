"""Bad input gets one OpenAI error that says what is wrong, and the server answers the next request."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.server import ServerProcess, serving

CHAT = "smollm2-135m-instruct"
USER = [{"role": "user", "content": "Hi"}]
CHAT_PATH, TEXT_PATH = "/v1/chat/completions", "/v1/completions"

BAD_CHATS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "empty messages": ({"messages": []}, "messages", "messages"),
    "no messages": ({}, "messages", "messages"),
    "wrong role": ({"messages": [{"role": "wizard", "content": "x"}]}, "'user'", "messages[0].role"),
    "no content": ({"messages": [{"role": "user"}]}, "content", None),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "image_url",
        None,
    ),
    "a voice": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}
            ]
        },
        "input_audio",
        None,
    ),
    "negative max_tokens": ({"messages": USER, "max_tokens": -1}, "greater than or equal to 1", "max_tokens"),
    "zero max_tokens": ({"messages": USER, "max_tokens": 0}, "max_tokens", "max_tokens"),
    "temperature as text": ({"messages": USER, "temperature": "hot"}, "temperature", "temperature"),
    "temperature too high": ({"messages": USER, "temperature": 2.5}, "temperature", "temperature"),
    "top_p out of range": ({"messages": USER, "top_p": 1.5}, "top_p", "top_p"),
    "unknown stop type": ({"messages": USER, "stop": {"at": "x"}}, "stop", "stop"),
    "stop of numbers": ({"messages": USER, "stop": [1]}, "stop", "stop[0]"),
    "five stops": ({"messages": USER, "stop": list("abcde")}, "at most 4", "stop"),
    "unknown token in logit_bias": ({"messages": USER, "logit_bias": {"999999": 1}}, "999999", "logit_bias"),
    "word in logit_bias": ({"messages": USER, "logit_bias": {"the": 1}}, "'the'", "logit_bias"),
    "stream_options without stream": (
        {"messages": USER, "stream_options": {"include_usage": True}},
        "'stream': true",
        "stream_options",
    ),
    "no answers": ({"messages": USER, "n": 0}, "greater than or equal to 1", "n"),
    "too many answers": ({"messages": USER, "n": 17}, "less than or equal to 16", "n"),
    "a tool of another type": (
        {"messages": USER, "tools": [{"type": "custom", "custom": {"name": "f"}}]},
        "'function'",
        "tools[0].type",
    ),
    "a tool without a name": (
        {"messages": USER, "tools": [{"type": "function", "function": {}}]},
        "",
        "tools[0].function.name",
    ),
    "a tool with an odd name": (
        {"messages": USER, "tools": [{"type": "function", "function": {"name": "the weather"}}]},
        "1 to 64",
        "tools",
    ),
    "too many tools": (
        {"messages": USER, "tools": [{"type": "function", "function": {"name": f"f{at}"}} for at in range(129)]},
        "at most 128",
        "tools",
    ),
    "a call without tools": ({"messages": USER, "tool_choice": "required"}, "no tools", "tool_choice"),
    "functions of old": ({"messages": USER, "functions": [{"name": "f"}]}, "is not supported", "functions"),
    "a result of no call": (
        {"messages": [*USER, {"role": "tool", "tool_call_id": "x", "content": "1"}]},
        "the call 'x'",
        "messages",
    ),
    "a result without a call": ({"messages": [*USER, {"role": "tool", "content": "1"}]}, "tool_call_id", "messages[1]"),
    "a call of the user": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": "x",
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                }
            ]
        },
        "has no 'tool_calls'",
        "messages[0]",
    ),
    "a call with broken arguments": (
        {
            "messages": [
                *USER,
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}],
                },
            ]
        },
        "no JSON object",
        "messages[1]",
    ),
    "nothing said": ({"messages": [{"role": "user", "content": None}]}, "needs 'content'", "messages[0]"),
    "a schema that cannot be kept": (
        {
            "messages": USER,
            "tool_choice": "required",
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}},
                    },
                }
            ],
        },
        "uniqueItems",
        "tools",
    ),
    "a call or a regular expression": (
        {"messages": USER, "tools": [{"type": "function", "function": {"name": "f"}}], "guided_regex": "a"},
        "exclude each other",
        "tools",
    ),
    "lone surrogate": ({"messages": [{"role": "user", "content": "\ud800"}]}, "", None),
}


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    message = body["error"]["message"]
    assert message
    assert "\n" not in message
    assert "Traceback" not in message
    return dict(body["error"])


@pytest.fixture(autouse=True)
def _the_next_request_is_answered(http: httpx.Client) -> Iterator[None]:
    yield
    response = http.post(CHAT_PATH, json={"model": CHAT, "messages": USER, "max_tokens": 1})
    assert response.status_code == 200
    assert http.get("/health").json() == {"status": "ok", "models": {CHAT: "ready", "gemma-3-270m": "ready"}}


@pytest.mark.parametrize("case", BAD_CHATS)
def test_a_chat_request_that_cannot_be_honoured_is_a_400_that_names_the_fault(http: httpx.Client, case: str) -> None:
    body, words, param = BAD_CHATS[case]
    response = http.post(CHAT_PATH, content=json.dumps({"model": CHAT} | body))
    assert response.status_code == 400
    error = error_of(response)
    assert error["type"] == "invalid_request_error"
    assert words in error["message"]
    if param is not None:
        assert error["param"] == param


def test_a_temperature_that_is_not_a_number_is_refused(http: httpx.Client) -> None:
    for value in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = f'{{"model": "{CHAT}", "messages": [{{"role": "user", "content": "x"}}], "temperature": {value}}}'
        response = http.post(CHAT_PATH, content=body)
        assert response.status_code == 400
        assert error_of(response)["param"] == "temperature"


@pytest.mark.parametrize("path", [CHAT_PATH, TEXT_PATH])
@pytest.mark.parametrize("body", [b"", b"hello", b"{", b'{"model": "x"', b"[1, 2]", b"null", b"\xff\xfe", b'"text"'])
def test_a_body_that_is_no_json_object_is_refused(http: httpx.Client, path: str, body: bytes) -> None:
    response = http.post(path, content=body)
    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"


def test_a_body_of_another_type_is_refused_with_the_header_to_send(http: httpx.Client) -> None:
    body = json.dumps({"model": CHAT, "messages": USER})
    response = http.post(CHAT_PATH, content=body, headers={"content-type": "text/plain"})
    assert response.status_code == 400
    assert "Content-Type: application/json" in error_of(response)["message"]


def test_deeply_nested_json_is_refused(http: httpx.Client) -> None:
    response = http.post(CHAT_PATH, content=b"[" * 100_000)
    assert response.status_code == 400
    error_of(response)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_20_mb_is_refused(http: httpx.Client, is_chunked: bool) -> None:
    content = json.dumps({"model": CHAT, "messages": [{"role": "user", "content": "x" * 20_000_000}]}).encode()
    response = http.post(CHAT_PATH, content=iter([content]) if is_chunked else content)
    assert response.status_code == 413
    assert error_of(response)["code"] == "request_too_large"


def test_an_unknown_model_is_a_404_with_the_nearest_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="smollm2-135m-instruct") as refused:
        client.chat.completions.create(model="smolm2-135m", messages=[{"role": "user", "content": "x"}])
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing-like-it")


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_over_the_context_is_refused_with_both_numbers(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="2048") as refused:
        client.chat.completions.create(
            model=CHAT, messages=[{"role": "user", "content": "word " * 4000}], stream=stream
        )
    assert refused.value.code == "context_length_exceeded"
    assert any(int(number) > 4000 for number in refused.value.message.split() if number.isdigit())


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT_PATH, {"messages": [{"role": "user", "content": "word " * 4000}]}, "messages"),
        (TEXT_PATH, {"prompt": "word " * 4000}, "prompt"),
        ("/v1/responses", {"input": "word " * 4000, "store": False}, "input"),
    ],
)
def test_an_overflow_names_the_field_that_the_prompt_came_in(
    http: httpx.Client, path: str, body: dict[str, Any], param: str
) -> None:
    error = error_of(http.post(path, json={"model": CHAT} | body))
    assert (error["code"], error["param"]) == ("context_length_exceeded", param)


def test_an_empty_prompt_is_refused_where_the_model_adds_nothing_to_it(http: httpx.Client) -> None:
    response = http.post(TEXT_PATH, json={"model": CHAT, "prompt": ""})
    assert response.status_code == 400
    assert error_of(response)["param"] == "prompt"


def test_token_ids_that_do_not_exist_are_refused(http: httpx.Client) -> None:
    for prompt in ([1, 2, 99_999_999], [-1], []):
        response = http.post(TEXT_PATH, json={"model": CHAT, "prompt": prompt})
        assert response.status_code == 400
        error_of(response)


def test_unknown_fields_are_ignored_and_named(http: httpx.Client) -> None:
    body = {"model": CHAT, "messages": USER, "max_tokens": 1, "sparkle": 1, "user": "me", "größe": 2}
    response = http.post(CHAT_PATH, json=body)
    assert response.status_code == 200
    assert response.headers["x-demotic-ignored"] == r"gr\xf6\xdfe, sparkle"


@pytest.mark.parametrize(("path", "asked"), [(CHAT_PATH, {"messages": USER}), (TEXT_PATH, {"prompt": "a"})])
def test_fields_that_change_no_answer_are_taken_and_not_named(
    http: httpx.Client, path: str, asked: dict[str, Any]
) -> None:
    body = {"model": CHAT, "max_tokens": 1, "metadata": {"case": "7"}, "store": True, "user": "me"} | asked
    response = http.post(path, json=body)
    assert response.status_code == 200
    assert "x-demotic-ignored" not in response.headers


def test_unknown_paths_and_methods_are_openai_errors_too(http: httpx.Client) -> None:
    assert http.get("/v1/nothing").status_code == 404
    assert error_of(http.get("/v1/nothing"))["type"] == "invalid_request_error"
    assert http.get(CHAT_PATH).status_code == 405
    error_of(http.get(CHAT_PATH))


def test_a_client_that_goes_away_in_mid_body_harms_nobody(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")


def test_a_web_page_that_points_its_name_here_is_refused(http: httpx.Client, server: ServerProcess) -> None:
    for host in ("evil.example", f"evil.example:{server.port}", "localhost.evil.example", "127.0.0.1.evil.example"):
        response = http.get("/v1/models", headers={"host": host})
        assert response.status_code == 400
        assert host in error_of(response)["message"]
    for host in ("localhost", f"LOCALHOST:{server.port}", "127.0.0.1", "[::1]:80", "192.168.1.7:8177"):
        assert http.get("/v1/models", headers={"host": host}).status_code == 200


def test_a_key_protects_everything_but_health() -> None:
    with (
        serving("smollm2-135m-instruct", "--api-key", "first", "--api-key", "sécond", "--context", "256") as server,
        httpx.Client(base_url=server.url) as http,
    ):
        assert http.get("/health").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic first"}, {"Authorization": ""}):
            response = http.get("/v1/models", headers=headers)
            assert response.status_code == 401
            assert error_of(response)["code"] == "invalid_api_key"
        for key in ("first", "sécond"):
            authorization = f"Bearer {key}".encode()
            assert http.get("/v1/models", headers={b"authorization": authorization}).status_code == 200
