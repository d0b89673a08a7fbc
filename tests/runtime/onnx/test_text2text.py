"""T5's family as ONNX graphs over `/v1/completions` and `/v1/chat/completions`: prompts verbatim, beams, and choices."""

from __future__ import annotations

import httpx
import openai
import pytest

from runtime.text.tokenizer import Tokenizer
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.test_translate import post
from tests.runtime.onnx.writers import Writer
from tests.server import serving

HINGLISH = "translate Hinglish to English: yaar mujhe नींद aa rahi hai"


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, parse_special=False)


@pytest.mark.parametrize("num_beams", [1, 4])
def test_s32_a_code_switched_prompt_is_one_request_and_keeps_its_prefix(
    num_beams: int, http: httpx.Client, writers: dict[str, Writer]
) -> None:
    t5 = writers["t5"]
    source = ids_of(t5.loaded.tokenizer, HINGLISH)
    (((tokens, _),),) = [t5.generate([source], num_beams=num_beams, max_length=11)[0]]
    answer = post(
        http, "/v1/completions", model="t5", prompt=HINGLISH, max_tokens=10, num_beams=num_beams, temperature=0
    )
    assert answer["choices"][0]["text"] == t5.text_of(tokens)
    assert answer["usage"]["prompt_tokens"] == len(source)
    # The same as a translation: the words are before the text, which is not taken apart by its scripts.
    words, _, text = HINGLISH.partition(": ")
    told = post(
        http, model="t5", text=text, source="hi", target="en", prompt=f"{words}: ", max_tokens=10, num_beams=num_beams
    )
    assert told["translations"][0]["text"] == t5.text_of(tokens)
    assert told["usage"]["prompt_tokens"] == len(source)


def test_s37_mt0_answers_what_the_user_said_last_verbatim(http: httpx.Client, writers: dict[str, Writer]) -> None:
    mt0, said = writers["mt5"], "Translate to English: Je t’aime."
    (((tokens, _),),) = [mt0.generate([ids_of(mt0.loaded.tokenizer, said)], num_beams=1, max_length=11)[0]]
    turns = [{"role": "user", "content": "Здравей"}, {"role": "user", "content": said}]
    answer = post(http, "/v1/chat/completions", model="mt5", messages=turns, temperature=0, max_tokens=10)
    assert answer["choices"][0]["message"]["content"] == mt0.text_of(tokens)
    assert answer["usage"]["prompt_tokens"] == len(ids_of(mt0.loaded.tokenizer, said))


def test_s13_beams_find_allowed_strings_and_no_others(http: httpx.Client) -> None:
    items = [f"{number}" for number in (1001, 1002, 1010, 1100, 2001, 2002, 2010, 2100, 11, 12, 21, 22)]
    answer = post(
        http, "/v1/completions", model="byt5", prompt="What next?", num_beams=20, n=10, max_tokens=8,
        allowed_strings=items,
    )  # fmt: skip
    texts = [choice["text"] for choice in answer["choices"]]
    assert len(texts) == len(set(texts)) == 10
    assert set(texts) <= set(items)
    scores = [choice["score"] for choice in answer["choices"]]
    assert scores == sorted(scores, reverse=True)
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"stop"}


def test_n_best_are_streamed_as_choices_with_scores(http: httpx.Client) -> None:
    body = {"model": "t5", "prompt": "A cat", "num_beams": 3, "n": 2, "max_tokens": 6}
    whole = post(http, "/v1/completions", **body)
    assert [choice["index"] for choice in whole["choices"]] == [0, 1]
    client = openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="unused", max_retries=0)
    texts = {0: "", 1: ""}
    for chunk in client.completions.create(
        model="t5", prompt="A cat", n=2, max_tokens=6, stream=True, extra_body={"num_beams": 3}
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert list(texts.values()) == [choice["text"] for choice in whole["choices"]]
    refused = http.post("/v1/completions", json={**body, "n": 4})
    assert refused.json()["error"]["param"] == "n"


def test_prompts_that_are_searched_for_together_each_have_their_answers(http: httpx.Client) -> None:
    body = {"model": "t5", "num_beams": 3, "n": 2, "max_tokens": 6}
    prompts = ["A cat", "translate English to German: A dog sat.", "Котката"]
    alone = [post(http, "/v1/completions", **body, prompt=prompt)["choices"] for prompt in prompts]
    together = post(http, "/v1/completions", **body, prompt=prompts)["choices"]
    assert [choice["text"] for choice in together] == [choice["text"] for choices in alone for choice in choices]


def test_a_grammar_holds_for_beams(http: httpx.Client) -> None:
    answer = post(
        http,
        "/v1/completions",
        model="byt5",
        prompt="A date?",
        num_beams=3,
        max_tokens=12,
        guided_regex="[0-9]{2}-[a-c]",
    )
    text = answer["choices"][0]["text"]
    assert len(text) == 4
    assert text[:2].isdigit()
    assert text[2:] in {"-a", "-b", "-c"}


def test_a_worker_of_its_own_answers_the_same(http: httpx.Client, sources: Sources) -> None:
    body = {"model": "mbart50-onnx", "text": "Едно. Две.", "source": "bg", "target": "en", "max_tokens": 6}
    wanted = post(http, **{**body, "model": "mbart50"})["translations"]
    with serving(str(sources.exported("mbart50").path)) as server:
        assert httpx.post(f"{server.url}/v1/translate", json=body, timeout=60).json()["translations"] == wanted
        searched = {**body, "num_beams": 3, "n": 2}
        found = httpx.post(f"{server.url}/v1/translate", json=searched, timeout=60).json()["translations"]
        assert found == post(http, **{**searched, "model": "mbart50"})["translations"]
        told = httpx.get(f"{server.base_url}/models", timeout=60).json()["data"][0]
        assert told["demotic"]["capabilities"] == ["translate", "chat", "completion"]
