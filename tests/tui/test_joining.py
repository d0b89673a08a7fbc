"""`demotic chat --url`: the same chat against servers that others make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest

import tui.chat
import tui.switching
from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.use import ToolUse
from runtime.config import RunConfig
from runtime.errors import ConfigurationInvalid
from tests.tui import foreign
from tests.tui.foreign import LLAMA_SERVER, OLLAMA, VLLM, Foreign, chunk
from tests.tui.test_app import SIZE, say, until
from tui.answers import HttpAnswers
from tui.app import ChatApp
from tui.cli import _chat
from tui.client import ChatClient
from tui.events import AnswerFailed, AnswerFinished, Endpoint
from tui.joining import joined

OPENAI_FIELDS = {"model", "messages", "max_tokens", "temperature", "top_p", "stream", "stream_options"}


@pytest.fixture(params=[LLAMA_SERVER, VLLM, OLLAMA], ids=["llama-server", "vllm", "ollama"])
def server(request: pytest.FixtureRequest) -> Iterator[Foreign]:
    with foreign.running(replace(request.param, seen=[])) as running:
        yield running


async def answered(endpoint: Endpoint) -> tuple[str, AnswerFinished]:
    """The text of an answer to a question, and its figures."""
    text, end = "", None
    async with ChatClient(endpoint) as client:
        await client.model_name()
        events = HttpAnswers(client, RunConfig()).answer([Message("user", "Здравей")], ToolUse())
        async with aclosing(events) as stream:
            async for event in stream:
                match event:
                    case Piece(text=piece):
                        text += piece
                    case AnswerFinished():
                        end = event
    assert end is not None
    return text, end


async def test_each_of_them_answers_with_fields_of_openai_alone(server: Foreign) -> None:
    text, end = await answered(joined(server.url).address)
    assert (text, end.reason, end.num_characters) == ("Добър ден", "stop", 9)
    # What the endpoint does not count is counted in pieces.
    assert end.num_tokens == (2 if "ollama" in server.stream[1] else 7)
    (listing, _, _), (path, headers, body) = server.seen
    assert (listing, path) == ("/v1/models", "/v1/chat/completions")
    assert "Authorization" not in headers
    assert set(body) == OPENAI_FIELDS
    assert body["model"] == json.loads(server.models)["data"][0]["id"]


async def test_the_chat_shows_the_answers_of_each(server: Foreign) -> None:
    app = ChatApp(joined(f"{server.url}/v1/").of("my model").endpoint)
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "my model · ready")
        await say(pilot, "Здравей")
        await until(app, "Добър ден", "tokens, ")
    # A name that is given need not be in the list.
    assert [(path, body.get("model")) for path, _, body in server.seen] == [
        ("/v1/models", None),
        ("/v1/chat/completions", "my model"),
    ]


async def test_what_the_list_says_of_a_model_that_was_named_is_shown() -> None:
    with foreign.running(replace(VLLM, seen=[])) as running:
        app = ChatApp(joined(running.url).of("org/first").endpoint)
        async with app.run_test(size=SIZE) as pilot:
            await until(app, "org/first · ready")
            await say(pilot, "Здравей")
            await until(app, "Добър ден", "▰▱▱▱▱▱ 0%")


@pytest.mark.parametrize(
    ("status", "body", "sentence", "code"),
    [
        (
            400,
            '{"error":{"code":400,"message":"the request exceeds the context","type":"exceed_context_size_error"}}',
            "the request exceeds the context",
            "context_length_exceeded",
        ),
        (
            400,
            '{"object":"error","message":"This model\'s maximum context length is 4096 tokens.","code":400}',
            "This model's maximum context length is 4096 tokens.",
            "context_length_exceeded",
        ),
        (404, '{"error":"model \'x\' not found"}', "model 'x' not found", None),
        (404, '{"error":{"message":"no","type":"x","param":null,"code":"model_not_found"}}', "no", "model_not_found"),
        (404, '{"detail":"Not Found"}', "Not Found", None),
        (422, '{"detail":[{"loc":["body"]}]}', "The model's server answered with status 422.", None),
        (502, "<html>Bad gateway</html>", "The model's server answered with status 502.", None),
        (307, "", "The model's server answered with status 307.", None),
        (401, "", "The server wants another API key.", "invalid_api_key"),
    ],
)
async def test_refusals_of_every_shape_are_told_in_a_sentence(
    status: int, body: str, sentence: str, code: str | None
) -> None:
    refusing = replace(VLLM, refusal=(status, body), seen=[])
    with foreign.running(refusing) as running, pytest.raises(AnswerFailed) as told:
        await answered(joined(running.url).address)
    assert (str(told.value), told.value.code) == (sentence, code)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('data: {"error":{"message":"out of memory","code":500}}', "out of memory"),
        ('error: {"code":500,"message":"out of memory"}', "out of memory"),
        ('data: {"error":{"object":"error"}}', "The answer broke off before its end."),
        ("data: [", "The model's server does not answer as it should."),
        ("", "The answer broke off before its end."),
    ],
)
async def test_a_fault_in_the_middle_of_an_answer_is_told(line: str, sentence: str) -> None:
    stream = [chunk({"content": "Half"}), line]
    with foreign.running(replace(VLLM, stream=stream, seen=[])) as running, pytest.raises(AnswerFailed) as told:
        await answered(joined(running.url).address)
    assert str(told.value).startswith(sentence)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1"),
        (" https://host/v1/ ", "https://host/v1"),
        ("https://host/openai/deployments/x", "https://host/openai/deployments/x"),
    ],
)
def test_an_address_may_have_a_path_or_none(url: str, base: str) -> None:
    assert joined(url).address.base_url == base


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "http://", "http://h:99999", "http://h/v1?x=1", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="is no address of a server"):
        joined(url)


def test_a_password_in_an_address_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationInvalid, match="--api-key") as told:
        joined("https://me:secret@host")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("host", ["example.org", "192.168.1.7", "127.0.0.1.example.org", "localhost.org", "[fd00::1]"])
def test_a_key_goes_in_clear_to_another_machine_only_where_that_is_meant(host: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="would go unencrypted"):
        joined(f"http://{host}:8080", api_key="k")
    assert "goes unencrypted" in joined(f"http://{host}:8080", api_key="k", insecure=True).address.notices[0]
    assert joined(f"https://{host}:8080", api_key="k").address.notices == ()
    assert joined(f"http://{host}:8080").address.notices == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9", "[::1]"])
def test_this_machine_needs_no_encryption(host: str) -> None:
    address = joined(f"http://{host}:8080", api_key=" k\n").address
    assert (address.api_key, address.notices, address.is_here) == ("k", (), True)


@pytest.mark.parametrize("key", ["klíč", "a\nb"])
def test_what_no_header_can_hold_is_no_key(key: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="characters that no key has"):
        joined("https://host", api_key=key)


def test_the_command_sends_the_key_and_starts_no_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tui.switching, "SwitchedServer")
    with foreign.running(replace(LLAMA_SERVER, seen=[])) as running:
        import typer

        with pytest.raises(typer.Exit) as done:
            _chat(None, "Say a word, please.", url=running.url, api_key="the-key")
    assert done.value.exit_code == 0
    assert capsys.readouterr().out == "Добър ден\n"
    assert {headers["Authorization"] for _, headers, _ in running.seen} == {"Bearer the-key"}
