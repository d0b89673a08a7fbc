"""What a request asks of its answer, through the real OpenAI client: form, logprobs, echo, choice of the best, reasoning."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema
import pytest
import regex
from openai import BadRequestError, OpenAI
from pydantic import BaseModel, Field

from tests.server import ServerProcess, serving
from tests.tiny.gguf import write_tiny_gguf

CHAT, BASE = "smollm2-135m-instruct", "gemma-3-270m"
REASONING_TEMPLATE = (
    "{% for message in messages %}{{ message.content }}\n{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% else %}<think>{% endif %}"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("models")
    infill = {f"tokenizer.ggml.fim_{part}_token_id": 259 + at for at, part in enumerate(("pre", "suf", "mid"))}
    code = write_tiny_gguf(folder / "code.gguf", control_tokens=("<PRE>", "<SUF>", "<MID>"), metadata=infill)
    thinker = write_tiny_gguf(folder / "thinker.gguf", chat_template=REASONING_TEMPLATE)
    with serving(CHAT, BASE, str(code), str(thinker), "--context", "1024") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key="unused", max_retries=0)


class Capital(BaseModel):
    country: Literal["Франция", "日本"]
    capital: str = Field(max_length=12)
    population: int = Field(ge=0, le=10**9)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"capital": {"type": "string", "maxLength": 12}, "is_sure": {"type": "boolean"}},
    "required": ["capital", "is_sure"],
    "additionalProperties": False,
}


def ask(client: OpenAI, question: str = "What is the capital of France?", **more: Any) -> Any:
    options: Any = {"model": CHAT, "temperature": 0, "max_tokens": 80} | more
    create: Any = client.chat.completions.create
    return create(messages=[{"role": "user", "content": question}], **options)


def test_an_answer_is_parsed_into_a_pydantic_model(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=CHAT,
        messages=[{"role": "user", "content": "Which country has Paris as its capital?"}],
        response_format=Capital,
        temperature=0,
        max_tokens=120,
    )
    parsed = answer.choices[0].message.parsed
    assert isinstance(parsed, Capital)


def test_a_schema_is_kept_streamed_or_not_and_in_both_kinds_of_completion(client: OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "capital", "schema": SCHEMA, "strict": True}}
    whole = ask(client, response_format=form).choices[0].message.content
    jsonschema.validate(json.loads(whole), SCHEMA)
    streamed = ask(client, response_format=form, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices) == whole
    text = client.completions.create(
        model=BASE, prompt="The capital of France as JSON: ", max_tokens=60, extra_body={"guided_json": SCHEMA}
    )
    jsonschema.validate(json.loads(text.choices[0].text), SCHEMA)


def test_any_object_a_regular_expression_a_choice_and_grammars(client: OpenAI) -> None:
    answer = ask(client, "Name a colour as JSON.", response_format={"type": "json_object"}, max_tokens=200, seed=1)
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)

    def guided(**field: Any) -> str:
        return str(ask(client, extra_body=field).choices[0].message.content)

    assert regex.fullmatch(r"\d{4}-\d{2}", guided(guided_regex=r"\d{4}-\d{2}"))
    assert guided(guided_choice=["Париж", "Лондон"]) in {"Париж", "Лондон"}
    assert guided(grammar='root ::= "Par" ("is" | "ma")\n') in {"Paris", "Parma"}
    assert regex.fullmatch("<[ab]+>", guided(guided_grammar='start: "<" /[ab]{1,5}/ ">"'))


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "json_object"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"contains": {}}}}},
            "response_format",
            "contains",
        ),
        ({"extra_body": {"guided_regex": "(", "guided_choice": ["a"]}}, "response_format", "exclude each other"),
        ({"extra_body": {"guided_regex": "("}}, "response_format", "unclosed group"),
        ({"top_logprobs": 2}, "top_logprobs", "needs 'logprobs'"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "20"),
        ({"reasoning_effort": "high"}, "reasoning_effort", "no levels"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    client: OpenAI, fields: dict[str, Any], param: str, sentence: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.param == param
    assert sentence in caught.value.message


def test_a_schema_cut_at_the_length_limit_says_so(client: OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "capital", "schema": SCHEMA}}
    choice = ask(client, response_format=form, max_tokens=3).choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.content.startswith("{")


def test_chat_logprobs_have_every_token_with_its_bytes(client: OpenAI) -> None:
    choice = ask(client, logprobs=True, top_logprobs=3, max_tokens=8, seed=0).choices[0]
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == choice.message.content
    assert len(tokens) == 8 or choice.finish_reason == "stop"
    for token in tokens:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3
        # Greedy: the token is the likeliest one.
        assert token.top_logprobs[0].bytes == token.bytes
        assert sum(math.exp(rival.logprob) for rival in token.top_logprobs) <= 1.0001
    streamed = ask(client, logprobs=True, top_logprobs=3, max_tokens=8, seed=0, stream=True)
    pieces = [chunk.choices[0].logprobs for chunk in streamed if chunk.choices]
    assert [token for piece in pieces if piece for token in piece.content] == tokens


def test_half_a_character_has_its_own_bytes(client: OpenAI) -> None:
    choice = ask(client, logprobs=True, extra_body={"guided_choice": ["𓀀𓁐"]}).choices[0]
    tokens = choice.logprobs.content
    assert choice.message.content == "𓀀𓁐"
    assert b"".join(bytes(token.bytes) for token in tokens) == "𓀀𓁐".encode()
    assert any("�" in token.token for token in tokens)


@pytest.mark.parametrize("prompt", ["Once upon a time", [2, 14946, 3324, 496, 990]])
def test_completions_echo_their_prompt_with_its_logprobs(client: OpenAI, prompt: Any) -> None:
    def create(**more: Any) -> Any:
        return client.completions.create(model=BASE, prompt=prompt, temperature=0, seed=0, **more).choices[0]

    plain = create(max_tokens=4)
    echoed = create(max_tokens=4, echo=True)
    assert echoed.text.endswith(plain.text)
    assert "Once upon a time" in echoed.text
    told = create(max_tokens=4, echo=True, logprobs=2)
    assert told.text == echoed.text
    assert told.logprobs.token_logprobs[0] is None or isinstance(prompt, str)
    assert "".join(told.logprobs.tokens) == told.text
    assert all(
        told.text[offset:].startswith(token)
        for offset, token in zip(told.logprobs.text_offset, told.logprobs.tokens, strict=True)
    )
    assert len(told.logprobs.tokens) == len(told.logprobs.token_logprobs) == len(told.logprobs.top_logprobs)
    alone = create(max_tokens=0, echo=True, logprobs=2)
    assert alone.logprobs.token_logprobs[1:] == pytest.approx(told.logprobs.token_logprobs[1:-4], abs=0.15)
    assert alone.finish_reason == "length"


def test_the_best_of_several_texts_are_the_likeliest(client: OpenAI) -> None:
    def create(**more: Any) -> Any:
        return client.completions.create(
            model=BASE, prompt="Once upon a time", max_tokens=6, temperature=1.5, seed=3, logprobs=0, **more
        )

    def mean(choice: Any) -> float:
        return float(sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs))

    every = create(n=4).choices
    best = create(n=2, best_of=4)
    assert [choice.index for choice in best.choices] == [0, 1]
    assert mean(best.choices[0]) >= mean(best.choices[1])
    assert mean(best.choices[0]) == pytest.approx(max(mean(choice) for choice in every), abs=0.3)
    assert best.usage.completion_tokens == 4 * 6


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"suffix": "x", "echo": True}, "suffix"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 21}, "logprobs"),
    ],
)
def test_completions_refuse_what_cannot_be_by_name(client: OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.completions.create(model=BASE, prompt="Once", **fields)
    assert caught.value.param == param


def test_a_text_between_two_others_is_asked_for_with_the_models_own_tokens(client: OpenAI) -> None:
    infilled = client.completions.create(model="code", prompt="th", suffix="in", max_tokens=4, temperature=0, seed=0)
    spelled = client.completions.create(model="code", prompt="th", max_tokens=4, temperature=0, seed=0)
    assert infilled.usage is not None and spelled.usage is not None
    assert infilled.usage.prompt_tokens > spelled.usage.prompt_tokens + 2
    assert infilled.choices[0].text != spelled.choices[0].text


def test_reasoning_is_kept_apart_from_the_answer(client: OpenAI) -> None:
    choice = ask(client, model="thinker", max_tokens=12, extra_body={"guided_regex": "[ab]{3}</think>\n[cd]{2}"})
    message = choice.choices[0].message
    assert regex.fullmatch("[ab]{3}", message.reasoning_content)
    assert regex.fullmatch("[cd]{2}", message.content)
    plain = ask(client, model="thinker", reasoning_effort="none", extra_body={"guided_regex": "[ab]{3}"})
    assert regex.fullmatch("[ab]{3}", plain.choices[0].message.content)
    assert getattr(plain.choices[0].message, "reasoning_content", None) is None
