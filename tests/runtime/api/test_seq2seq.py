"""Encoder-decoders over HTTP: gaps filled through `/v1/completions`, and what such a model cannot do is said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import regex

from tests.server import ServerProcess, serving
from tests.tiny.seq2seq import tiny_byt5, tiny_mt5, write_seq2seq

GAPS = "Кот <extra_id_0> на <extra_id_1>."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("seq2seq")
    files = [write_seq2seq(folder / "mt5.gguf", tiny_mt5()), write_seq2seq(folder / "byt5.gguf", tiny_byt5(seed=3))]
    with serving(*map(str, files), "--prefix-cache-dir", str(folder / "prefixes")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as made:
        yield made


def post(server: ServerProcess, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, timeout=60)


@pytest.mark.parametrize("model", ["mt5", "byt5"])
def test_gaps_are_read_and_answers_name_them(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt=GAPS, temperature=0, max_tokens=60)
    (choice,) = answer.choices
    assert regex.search(r"<extra_id_\d+>", choice.text)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 60
    plain = client.completions.create(model=model, prompt=GAPS.replace("<", "("), temperature=0, max_tokens=60)
    assert plain.usage is not None
    assert plain.usage.prompt_tokens > answer.usage.prompt_tokens
    assert plain.choices[0].text != choice.text


def test_what_is_streamed_is_the_same_answer_in_whole_characters(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "byt5", "prompt": GAPS, "temperature": 0, "max_tokens": 60}
    whole = client.completions.create(**asked).choices[0].text
    pieces = [chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True) if chunk.choices]
    assert "".join(pieces) == whole
    borders = {match.end() for match in regex.finditer(r"\X", whole)}
    assert {len("".join(pieces[:count])) for count in range(1, len(pieces) + 1)} <= borders


def test_several_answers_to_one_prompt_read_it_once(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="byt5", prompt=GAPS, n=3, seed=5, max_tokens=12)
    assert len({choice.text for choice in answer.choices}) == 3
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    tokens = answer.usage.prompt_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens in {0, tokens, 2 * tokens}


def test_several_prompts_are_answered_each_for_itself(client: openai.OpenAI) -> None:
    prompts = ["γάτα", GAPS, "قطة " * 12]
    alone = [
        client.completions.create(model="byt5", prompt=prompt, temperature=0, max_tokens=20).choices[0].text
        for prompt in prompts
    ]
    together = client.completions.create(model="byt5", prompt=prompts, temperature=0, max_tokens=20)
    assert [choice.text for choice in together.choices] == alone


def test_no_prefix_is_saved_and_the_server_says_why(server: ServerProcess, client: openai.OpenAI) -> None:
    client.completions.create(model="byt5", prompt="a" * 100, max_tokens=2)
    assert any("no prefixes are saved: answers depend on sources" in line for line in server.lines)


def test_what_is_told_of_the_answer_counts_bytes(server: ServerProcess) -> None:
    answer = post(server, "/v1/completions", model="byt5", prompt="Здравей", temperature=0, max_tokens=30).json()
    told = answer["usage"]["demotic"]
    assert told["characters"] == len(answer["choices"][0]["text"])
    assert answer["usage"]["prompt_tokens"] == len("Здравей".encode()) + 1
    # Prompt and answer have a context each.
    assert told["context_left"] == 128 - 30


def test_token_ids_are_taken_as_they_are(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "byt5", "temperature": 0, "max_tokens": 20}
    as_text = client.completions.create(prompt="a<extra_id_0>", **asked)
    as_ids = client.completions.create(prompt=[100, 259, 1], **asked)
    assert as_ids.choices[0].text == as_text.choices[0].text


def test_logprobs_are_told_of_the_answer(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="mt5", prompt=GAPS, temperature=0, max_tokens=5, logprobs=2)
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.token_logprobs is not None
    assert len(told.token_logprobs) == 5


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"echo": True, "logprobs": 1}, "echo", "no logprobs"),
        ({"echo": True, "prompt": [100, 1]}, "echo", "encodes its prompt"),
        ({"suffix": "."}, "suffix", "<extra_id_0>"),
        ({"prompt": "a" * 200}, "prompt", "context"),
    ],
)
def test_what_cannot_be_honoured_is_refused(server: ServerProcess, body: dict[str, Any], param: str, says: str) -> None:
    answer = post(server, "/v1/completions", **{"model": "byt5", "prompt": GAPS, "max_tokens": 5} | body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert says in answer.json()["error"]["message"]


def test_a_prompt_that_is_echoed_stands_before_the_answer(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "mt5", "prompt": GAPS, "temperature": 0, "max_tokens": 8}
    answer = client.completions.create(**asked).choices[0].text
    assert client.completions.create(**asked, echo=True).choices[0].text == GAPS + answer


def test_a_conversation_is_answered_as_a_prompt(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="mt5", prompt="кот сидит", temperature=0, max_tokens=9)
    chat = client.chat.completions.create(
        model="mt5",
        messages=[
            {"role": "user", "content": "the cat"},
            {"role": "assistant", "content": "the dog"},
            {"role": "user", "content": "кот сидит"},
        ],
        temperature=0,
        max_tokens=9,
    )
    assert chat.choices[0].message.content == completion.choices[0].text


def test_metrics_count_the_tokens_that_were_encoded(server: ServerProcess, client: openai.OpenAI) -> None:
    def total() -> float:
        lines = httpx.get(f"{server.url}/metrics").text.splitlines()
        (line,) = [line for line in lines if line.startswith("demotic_prefill_tokens_total{") and "byt5" in line]
        return float(line.rsplit(" ", 1)[1])

    def settled() -> float:
        """After the worker's next sign of life, which comes every second."""
        time.sleep(1.2)
        return total()

    before = settled()
    client.completions.create(model="byt5", prompt="abc", max_tokens=2)
    # The prompt's four tokens, and the one that answers begin with.
    assert settled() == before + 4 + 1
