"""The real OpenAI client against a real server in a second process."""

from __future__ import annotations

from pathlib import Path

import httpx
import openai
import pytest
import regex

from tests.server import ServerProcess

CHAT = "smollm2-135m-instruct"
BASE = "gemma-3-270m"
QUESTION = "What is the capital of France? Answer in one sentence."


def test_a_chat_completion_answers(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": QUESTION}], temperature=0, max_completion_tokens=40
    )
    (choice,) = answer.choices
    assert "Paris" in (choice.message.content or "")
    assert choice.finish_reason == "stop"
    assert answer.model == CHAT
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 40


def test_a_streamed_chat_completion_is_the_same_answer_in_pieces(client: openai.OpenAI) -> None:
    def ask(**options: object) -> object:
        return client.chat.completions.create(  # type: ignore[call-overload]  # the same body, streamed or not
            model=CHAT, messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=40, **options
        )

    whole = ask()
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))  # type: ignore[call-overload]  # a stream
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content  # type: ignore[attr-defined]  # not a stream
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(chunks[-1].usage, count) == getattr(whole.usage, count)  # type: ignore[attr-defined]  # not a stream
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]) > 3


def test_usage_comes_only_when_it_is_asked_for(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": "Hi"}], max_tokens=3, stream=True
    )
    assert all(chunk.usage is None and chunk.choices for chunk in stream)


@pytest.mark.parametrize("prompt", ["Érase una vez", "Жили-были", "むかしむかし", "एक समय की बात है", "كان يا ما كان"])
def test_a_base_model_continues_text_in_whole_characters(client: openai.OpenAI, prompt: str) -> None:
    stream = client.completions.create(model=BASE, prompt=prompt, temperature=0, max_tokens=24, stream=True)
    pieces = [chunk.choices[0].text for chunk in stream if chunk.choices]
    text = "".join(pieces)
    assert len(text) > 10
    assert "\ufffd" not in text
    assert [cluster for piece in pieces for cluster in regex.findall(r"\X", piece)] == regex.findall(r"\X", text)


def test_a_completion_takes_token_ids_and_defaults_to_sixteen_tokens(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=BASE, prompt=[2, 818, 5279, 529, 7001, 563], temperature=0)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 6
    assert answer.usage.completion_tokens == 16
    assert answer.choices[0].finish_reason == "length"
    named = client.completions.create(model=BASE, prompt="One", extra_body={"max_completion_tokens": 2})
    assert named.usage is not None
    assert named.usage.completion_tokens == 2


def test_stop_strings_end_the_answer(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=BASE, prompt="1, 2, 3, 4,", temperature=0, max_tokens=30, stop=["8"])
    assert answer.choices[0].text.strip().endswith("7,")
    assert answer.choices[0].finish_reason == "stop"


def test_a_base_model_without_a_template_can_still_chat_plainly(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=BASE, messages=[{"role": "user", "content": "What is 2 + 2?"}], temperature=0, max_tokens=30
    )
    assert "User:" not in (answer.choices[0].message.content or "")


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [CHAT, BASE]
    assert client.models.retrieve(BASE).id == BASE


def test_a_model_tells_what_it_can_and_whether_it_is_loaded(client: openai.OpenAI, smollm2_path: Path) -> None:
    chat, base = ((model.model_extra or {})["demotic"] for model in client.models.list())
    assert chat == {
        "status": "ready",
        "progress": None,
        "device": "cpu",
        "capabilities": ["chat", "completion"],
        "languages": ["eng_Latn"],
        "license": "Apache-2.0",
        "context_length": 2048,
        "trained_context_length": 8192,
        "quantization": "Q4_1",
        "size_bytes": smollm2_path.stat().st_size,
        "adapters": [],
        "base": None,
        "shares": None,
    }
    assert base["capabilities"] == ["completion"]
    assert (client.models.retrieve(BASE).model_extra or {})["demotic"] == base


def test_a_beginning_that_was_computed_before_is_counted_as_cached(client: openai.OpenAI) -> None:
    story = "Once upon a time in a village by the sea there lived a fisherman who had never learned to swim. " * 4

    def cached(ending: str) -> int:
        usage = client.completions.create(model=BASE, prompt=story + ending, max_tokens=2, temperature=0).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        assert usage.prompt_tokens_details.cached_tokens is not None
        return usage.prompt_tokens_details.cached_tokens

    assert cached("One day") == 0
    assert cached("Every night") > 60


def test_many_requests_at_once_are_all_answered(server: ServerProcess) -> None:
    import asyncio

    async def ask_all() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as client:

            async def ask(number: int) -> str:
                answer = await client.completions.create(
                    model=BASE, prompt=f"The number {number} is", max_tokens=8, temperature=0
                )
                return answer.choices[0].text

            return await asyncio.gather(*(ask(number) for number in range(12)))

    assert all(asyncio.run(ask_all()))


def test_leaving_a_stream_frees_the_engine_for_the_next_request(server: ServerProcess, http: httpx.Client) -> None:
    body = {"model": BASE, "prompt": "Once", "max_tokens": 1900, "stream": True, "temperature": 1.0}
    with http.stream("POST", "/v1/completions", json=body) as response:
        next(response.iter_lines())
    answer = http.post("/v1/completions", json={"model": BASE, "prompt": "Once", "max_tokens": 1})
    assert answer.status_code == 200
