"""Languages of requests and answers at the endpoint: locks, honest usage, models by language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import regex

from runtime.api.schemas.language import TextUsage
from runtime.language.scripts import foreign_characters, to_scripts
from tests.server import serving

GEMMA = "gemma-3-270m"
SMOL = "smollm2-135m-instruct"
BULGARIAN = "Откъде мога да си купя билет за влака до морето?"
ENGLISH = "Where can I buy a ticket for the train to the coast?"


def complete(http: httpx.Client, prompt: Any = BULGARIAN, **more: Any) -> httpx.Response:
    body = {"model": GEMMA, "prompt": prompt, "max_tokens": 12, "temperature": 1.5, "seed": 3}
    return http.post("/v1/completions", json=body | more)


def chat(http: httpx.Client, *said: str, **more: Any) -> httpx.Response:
    turns = [{"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(said)]
    return http.post(
        "/v1/chat/completions", json={"model": SMOL, "messages": turns, "max_tokens": 12, "seed": 1} | more
    )


@pytest.mark.parametrize(
    ("fields", "scripts"),
    [
        ({"language": "bg"}, ["Cyrl"]),
        ({"language": "auto"}, ["Cyrl"]),
        ({"language": "Georgian"}, ["Geor"]),
        ({"scripts": ["Jpan"]}, ["Jpan"]),
        ({"language": "bg", "scripts": ["Grek"]}, ["Grek"]),
    ],
)
def test_a_hard_lock_keeps_the_answer_in_the_script_of_a_language_or_in_the_scripts_named(
    http: httpx.Client, fields: dict[str, Any], scripts: list[str]
) -> None:
    answer = complete(http, **fields, mode="hard").json()
    text = answer["choices"][0]["text"]
    assert text.strip()
    assert foreign_characters(text, to_scripts(scripts)) == ""


def test_the_answer_tells_how_many_tokens_were_blocked(http: httpx.Client) -> None:
    free = complete(http, ENGLISH, temperature=0).json()
    locked = complete(http, ENGLISH, temperature=0, language="bg", mode="hard").json()
    assert free["usage"]["demotic"]["blocked_tokens"] == 0
    assert locked["usage"]["demotic"]["blocked_tokens"] > 0
    assert foreign_characters(locked["choices"][0]["text"], ["Cyrl"]) == ""


def test_a_lock_is_soft_where_no_mode_is_named(http: httpx.Client) -> None:
    first, second = (complete(http, language="el", **more).json() for more in ({}, {"mode": "soft"}))
    assert first["choices"][0]["text"] == second["choices"][0]["text"]
    assert first["usage"]["demotic"] == second["usage"]["demotic"]


@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize(
    ("fields", "param", "told"),
    [
        ({"language": "bul_Cyrlx"}, "language", "Did you mean bul_Cyrl"),
        ({"language": "deutsh"}, "language", "deu_Latn"),
        ({"scripts": ["Cyrk"]}, "scripts", "Cyrl"),
        ({"mode": "hard"}, "mode", "needs 'language' or 'scripts'"),
        ({"language": "bg", "mode": "loud"}, "mode", "'soft' or 'hard'"),
        ({"language": "x" * 99}, "language", "80"),
        ({"max_characters": 0}, "max_characters", "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_field_and_the_nearest_name(
    http: httpx.Client, endpoint: str, fields: dict[str, Any], param: str, told: str
) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    said = {"/v1/completions": {"prompt": "Hi"}, "/v1/responses": {"input": "Hi"}}.get(endpoint, {"messages": turns})
    response = http.post(endpoint, json={"model": SMOL, "max_tokens": 4} | said | fields)
    assert response.status_code == 400
    assert told in response.json()["error"]["message"]
    assert response.json()["error"].get("param", param) == param


def test_usage_tells_what_tokens_leave_out_and_the_openai_client_still_reads_it(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=GEMMA, prompt=BULGARIAN, max_tokens=24, temperature=0, extra_body={"language": "bg", "mode": "hard"}
    )
    text, usage = answer.choices[0].text, answer.usage
    assert usage is not None
    told = usage.model_dump()["demotic"]
    assert told["characters"] == len(text)
    assert told["graphemes"] == len(regex.findall(r"\X", text))
    assert told["characters_per_token"] == pytest.approx(len(text) / usage.completion_tokens, abs=0.001)
    assert told["prompt_language"] == "bul_Cyrl"
    assert told["answer_language"].endswith("_Cyrl")
    assert told["context_left"] == 2048 - usage.total_tokens


def test_a_stream_ends_with_the_same_usage(http: httpx.Client) -> None:
    options = {"language": "bg", "mode": "hard", "temperature": 0}
    whole = complete(http, **options).json()["usage"]["demotic"]
    body = {"model": GEMMA, "prompt": BULGARIAN, "max_tokens": 12, "seed": 3} | options
    with openai.OpenAI(base_url=str(http.base_url.join("/v1")), api_key="x") as sdk:
        chunks = list(sdk.completions.create(**body_of(body), stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.model_dump()["demotic"] == whole


def body_of(body: dict[str, Any]) -> dict[str, Any]:
    """`body` with the fields that the client does not know where it takes them."""
    own = {name: body.pop(name) for name in ("language", "mode") if name in body}
    return body | {"extra_body": own}


def test_the_responses_api_tells_and_keeps_the_same(http: httpx.Client) -> None:
    body = {"model": SMOL, "input": BULGARIAN, "max_output_tokens": 12, "language": "el", "mode": "hard"}
    answer = http.post("/v1/responses", json=body).json()
    text = answer["output"][0]["content"][0]["text"]
    assert foreign_characters(text, ["Grek"]) == ""
    told = answer["usage"]["demotic"]
    assert (told["characters"], told["prompt_language"]) == (len(text), "bul_Cyrl")
    assert told["blocked_tokens"] > 0
    assert http.get(f"/v1/responses/{answer['id']}").json()["usage"]["demotic"] == told


def test_the_messages_api_keeps_the_same(http: httpx.Client) -> None:
    turns = [{"role": "user", "content": BULGARIAN}]
    body = {"model": SMOL, "messages": turns, "max_tokens": 12, "language": "auto", "mode": "hard"}
    text = http.post("/v1/messages", json=body).json()["content"][0]["text"]
    assert foreign_characters(text, ["Cyrl"]) == ""


ANSWERING: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": BULGARIAN}], "max_tokens": 12},
    "/v1/completions": {"prompt": BULGARIAN, "max_tokens": 12},
    "/v1/responses": {"input": BULGARIAN, "max_output_tokens": 12},
    "/v1/messages": {"messages": [{"role": "user", "content": BULGARIAN}], "max_tokens": 12},
}


def usages_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """What an answer, or the events of one, tell of `usage.demotic`."""
    lines = answer.text.splitlines() if "event-stream" in answer.headers["content-type"] else [f"data: {answer.text}"]
    found: list[dict[str, Any]] = []
    for line in lines:
        if line.startswith("data: {"):
            event = json.loads(line.removeprefix("data: "))
            places = (event, event.get("response") or {}, event.get("message") or {})
            found += [told for place in places if (told := (place.get("usage") or {}).get("demotic"))]
    return found


@pytest.mark.parametrize("endpoint", ANSWERING)
def test_every_endpoint_that_answers_tells_the_same_streamed_and_not(http: httpx.Client, endpoint: str) -> None:
    body = {"model": SMOL, "temperature": 0, "language": "el", "mode": "hard", "max_characters": 9} | ANSWERING[
        endpoint
    ]
    (told,) = usages_of(http.post(endpoint, json=body))
    assert set(told) == {*TextUsage.model_fields}
    assert 0 < told["graphemes"] <= told["characters"] <= 9
    assert told["blocked_tokens"] > 0
    assert told["prompt_language"] == "bul_Cyrl"
    assert told["answer_language"] in {"ell_Grek", None}
    assert 1900 < told["context_left"] < 2048
    options = {"stream_options": {"include_usage": True}} if "completions" in endpoint else {}
    assert usages_of(http.post(endpoint, json=body | options | {"stream": True})) == [told]


def test_auto_is_the_script_of_the_user_s_last_message(http: httpx.Client) -> None:
    said = (ENGLISH, "At the station.", BULGARIAN)
    text = chat(http, *said, language="auto", mode="hard").json()["choices"][0]["message"]["content"]
    assert foreign_characters(text, ["Cyrl"]) == ""
    assert regex.search(r"\p{Cyrl}", text)


def test_a_limit_in_characters_ends_the_answer_on_a_grapheme(http: httpx.Client) -> None:
    free = complete(http, "พยัญชนะไทยมี", temperature=0, max_tokens=40).json()["choices"][0]["text"]
    for limit in (1, 5, 6, 7):
        answer = complete(http, "พยัญชนะไทยมี", temperature=0, max_tokens=40, max_characters=limit).json()
        expected = ""
        for cluster in regex.findall(r"\X", free):
            if len(expected + cluster) > limit:
                break
            expected += cluster
        assert answer["choices"][0] == answer["choices"][0] | {"text": expected, "finish_reason": "length"}
        assert answer["usage"]["demotic"]["characters"] == len(expected)


TABLE = f"""
default = "{SMOL}"

[languages]
bul_Cyrl = "{GEMMA}"
"""


@pytest.fixture(scope="module")
def routed(_own_home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    table = tmp_path_factory.mktemp("routes") / "routes.toml"
    table.write_text(TABLE, encoding="utf-8")
    with (
        serving(SMOL, GEMMA, "--context", "512", "--routes", str(table)) as running,
        httpx.Client(base_url=running.url, timeout=60) as made,
    ):
        yield made


def test_auto_chooses_the_model_of_the_language_and_tells_it_in_headers(routed: httpx.Client) -> None:
    for said, model, language in ((BULGARIAN, GEMMA, "bul_Cyrl"), (ENGLISH, SMOL, "eng_Latn")):
        response = chat(routed, said, model="auto", max_tokens=2)
        assert response.json()["model"] == model
        assert response.headers["x-demotic-model"] == model
        assert response.headers["x-demotic-language"] == language


def test_the_choice_stays_as_the_conversation_goes_on(routed: httpx.Client) -> None:
    response = chat(routed, BULGARIAN, "На гарата.", ENGLISH, model="auto", max_tokens=2)
    assert response.headers["x-demotic-model"] == GEMMA


def test_a_language_that_the_request_names_chooses_as_well(routed: httpx.Client) -> None:
    response = chat(routed, ENGLISH, model="auto", language="Bulgarian", max_tokens=2)
    assert response.headers["x-demotic-model"] == GEMMA


def test_within_a_base_another_model_is_never_chosen(routed: httpx.Client) -> None:
    response = chat(routed, BULGARIAN, model=f"{SMOL}:auto", max_tokens=2)
    assert response.headers["x-demotic-model"] == SMOL


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": BULGARIAN}], "max_tokens": 2}),
        ("/v1/completions", {"prompt": BULGARIAN, "max_tokens": 2}),
        ("/v1/responses", {"input": BULGARIAN, "max_output_tokens": 2}),
        ("/v1/messages", {"messages": [{"role": "user", "content": BULGARIAN}], "max_tokens": 2}),
    ],
)
def test_every_endpoint_that_generates_text_routes(routed: httpx.Client, endpoint: str, body: dict[str, Any]) -> None:
    response = routed.post(endpoint, json={"model": "auto"} | body)
    assert response.json()["model"] == GEMMA
    assert response.headers["x-demotic-model"] == GEMMA
    streamed = routed.post(endpoint, json={"model": "auto", "stream": True} | body)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert (streamed.headers["x-demotic-model"], streamed.headers["x-demotic-language"]) == (GEMMA, "bul_Cyrl")


def test_a_server_without_a_table_says_so(http: httpx.Client) -> None:
    response = chat(http, ENGLISH, model="auto")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"
    assert "--routes" in response.json()["error"]["message"]


def test_a_table_that_names_what_is_not_served_ends_the_start(tmp_path: Path) -> None:
    table = tmp_path / "routes.toml"
    table.write_text('default = "other"\n', encoding="utf-8")
    with (
        pytest.raises(RuntimeError, match="routes to 'other', which is not served"),
        serving(SMOL, "--routes", str(table)),
    ):
        pass
