"""Every answer, and every piece of a streamed one, is of the type that the client's own package has for it: strictly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic.types
import httpx
import pytest
from openai import types
from openai.types import chat, responses
from openai.types.responses.response_item_list import ResponseItemList
from pydantic import TypeAdapter

from tests.server import serving
from tests.tiny.encoders import tiny_bert, write_encoder

CHAT, BASE = "smollm2-135m-instruct", "gemma-3-270m"
MESSAGES = [{"role": "user", "content": "Name three colours."}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
TOOL = {"name": "clock", "description": "Tells the time.", "parameters": {"type": "object", "properties": {}}}

# Name -> path, body, OpenAI's or Anthropic's type of the answer, and of each event where the body is streamed.
CASES: dict[str, tuple[str, dict[str, Any], Any, Any]] = {
    "chat": ("/chat/completions", {"messages": MESSAGES}, chat.ChatCompletion, chat.ChatCompletionChunk),
    "chat with logprobs, twice": (
        "/chat/completions",
        {"messages": MESSAGES, "n": 2, "logprobs": True, "top_logprobs": 2},
        chat.ChatCompletion,
        chat.ChatCompletionChunk,
    ),
    "chat with a schema": (
        "/chat/completions",
        {
            "messages": MESSAGES,
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
        },
        chat.ChatCompletion,
        chat.ChatCompletionChunk,
    ),
    "chat with a call": (
        "/chat/completions",
        {"messages": MESSAGES, "tools": [{"type": "function", "function": TOOL}], "tool_choice": "required"},
        chat.ChatCompletion,
        chat.ChatCompletionChunk,
    ),
    "text": ("/completions", {"prompt": "Once upon", "model": BASE}, types.Completion, types.Completion),
    "text with logprobs, echoed": (
        "/completions",
        {"prompt": ["Once upon", "Érase"], "model": BASE, "echo": True, "logprobs": 2},
        types.Completion,
        types.Completion,
    ),
    "response": ("/responses", {"input": "Name three colours."}, responses.Response, responses.ResponseStreamEvent),
    "response with logprobs": (
        "/responses",
        {"input": "Name a colour.", "include": ["message.output_text.logprobs"], "top_logprobs": 2, "store": False},
        responses.Response,
        responses.ResponseStreamEvent,
    ),
    "response with a call": (
        "/responses",
        {"input": "What time is it?", "tools": [{"type": "function", **TOOL}], "tool_choice": "required"},
        responses.Response,
        responses.ResponseStreamEvent,
    ),
    "message": ("/messages", {"messages": MESSAGES}, anthropic.types.Message, anthropic.types.RawMessageStreamEvent),
    "message with a call": (
        "/messages",
        {
            "messages": MESSAGES,
            "tools": [{"name": "clock", "input_schema": TOOL["parameters"]}],
            "tool_choice": {"type": "any"},
        },
        anthropic.types.Message,
        anthropic.types.RawMessageStreamEvent,
    ),
}
LONGEST = {"/chat/completions": "max_completion_tokens", "/responses": "max_output_tokens"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    bert = write_encoder(tmp_path_factory.mktemp("models") / "bert.gguf", tiny_bert(), pooling="mean")
    with (
        serving(CHAT, BASE, str(bert), "--context", "1024") as server,
        httpx.Client(base_url=server.base_url, timeout=60) as made,
    ):
        yield made


def sent(http: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    answer = http.post(path, json={"model": CHAT, "temperature": 0, LONGEST.get(path, "max_tokens"): 40} | body)
    assert answer.status_code == 200, answer.text
    return answer


def check(kind: Any, data: str | bytes) -> Any:
    """`data` is of `kind`, to the letter: no text for a number, nothing missing, and no field of the wrong type."""
    return TypeAdapter(kind).validate_json(data, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_a_whole_answer_is_of_the_clients_type(http: httpx.Client, case: str) -> None:
    path, body, whole, _ = CASES[case]
    answer = check(whole, sent(http, path, body).content)
    assert answer.model in {CHAT, BASE}


@pytest.mark.parametrize("case", CASES)
def test_every_piece_of_a_streamed_answer_is_of_the_clients_type(http: httpx.Client, case: str) -> None:
    path, body, _, piece = CASES[case]
    more = {"stream_options": {"include_usage": True}} if path.endswith("completions") else {}
    text = sent(http, path, body | {"stream": True} | more).text
    datas = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    if path.endswith("completions"):
        assert datas.pop() == "[DONE]"
    if piece is types.Completion:
        datas = [with_reason(data) for data in datas]
    checked = [check(piece, data) for data in datas if json.loads(data).get("type") != "ping"]
    assert len(checked) > 3


def with_reason(data: str) -> str:
    """A piece of a text as the type wants it, which has no null for a choice that goes on; OpenAI's own pieces do."""
    body = json.loads(data)
    for choice in body["choices"]:
        choice["finish_reason"] = choice["finish_reason"] or "stop"
    return json.dumps(body)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_vectors_are_of_the_clients_type(http: httpx.Client, encoding: str) -> None:
    answer = http.post("/embeddings", json={"model": "bert", "input": ["a", "b"], "encoding_format": encoding})
    if encoding == "float":
        check(types.CreateEmbeddingResponse, answer.content)
    else:
        # The type has numbers, which the client makes of this; all else is to be right as well.
        body = answer.json()
        assert all(isinstance(item["embedding"], str) for item in body["data"])
        for item in body["data"]:
            item["embedding"] = []
        check(types.CreateEmbeddingResponse, json.dumps(body))


def test_models_kept_answers_and_counts_are_of_the_clients_type(http: httpx.Client) -> None:
    listed = http.get("/models").json()
    assert listed["object"] == "list"
    for model in listed["data"]:
        check(types.Model, json.dumps(model))
    check(types.Model, http.get(f"/models/{CHAT}").content)
    kept = sent(http, "/responses", {"input": "Hi"}).json()["id"]
    check(responses.Response, http.get(f"/responses/{kept}").content)
    check(ResponseItemList, http.get(f"/responses/{kept}/input_items").content)
    assert http.delete(f"/responses/{kept}").json() == {"id": kept, "object": "response", "deleted": True}
    count = http.post("/messages/count_tokens", json={"model": CHAT, "messages": MESSAGES})
    check(anthropic.types.MessageTokensCount, count.content)


def test_errors_are_of_the_clients_types(http: httpx.Client) -> None:
    for path in ("/chat/completions", "/completions", "/responses", "/embeddings"):
        check(types.ErrorObject, json.dumps(http.post(path, json={"model": 1}).json()["error"]))
    check(anthropic.types.ErrorResponse, http.post("/messages", json={"model": 1}).content)
