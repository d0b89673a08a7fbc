"""`/v1/translate` answers what `generate` of transformers does, and keeps what is no text."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from runtime.api import streaming, translating
from runtime.engine.messages import Generate
from runtime.engine.request import prompt_tokens
from runtime.engine.sampling import SamplingParams
from runtime.errors import QueueFull
from runtime.language.codes import parse
from tests.runtime.onnx.writers import TRANSLATORS, Writer

TEXT = "Котката седи на стола."
PAIRS = {"mbart50": ("bg", "English"), "m2m100": ("bul_Cyrl", "sw"), "marian": ("bg_BG", ">>swa<<")}
# What transformers is told of the language of the answer.
FORCED = {"mbart50": "en_XX", "m2m100": "sw"}
LENGTH = 12


def post(http: httpx.Client, path: str = "/v1/translate", /, **body: Any) -> dict[str, Any]:
    answer = http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def reference(writer: Writer, source: str, target: str, num_beams: int, **more: Any) -> list[tuple[str, float]]:
    """Texts and scores of transformers for `TEXT`."""
    translator = writer.card.translator
    assert translator is not None
    framing = translator.framing(translator.source(source), translator.target(target))
    prompt = framing.prompt(TEXT)
    request = Generate("", prompt, SamplingParams())
    tokens = prompt_tokens(request, writer.loaded.tokenizer)
    settings = translator.settings
    code = FORCED.get(writer.name)
    forced = settings.languages.codes[code] if code is not None and settings.languages is not None else None
    length = LENGTH + len(framing.begin)
    (answers,) = writer.generate(
        [tokens], num_beams=num_beams, num_return_sequences=more.pop("n", 1), max_length=length,
        forced_bos_token_id=forced, **more,
    )  # fmt: skip
    drop = len(framing.begin) - 1
    return [(writer.text_of(tokens[drop:]), score) for tokens, score in answers]


@pytest.mark.parametrize("name", TRANSLATORS)
@pytest.mark.parametrize("num_beams", [1, 4])
def test_translations_are_those_of_transformers(
    name: str, num_beams: int, http: httpx.Client, writers: dict[str, Writer]
) -> None:
    source, target = PAIRS.get(name, ("Bulgarian", "German"))
    told = {"no_repeat_ngram_size": 2, "repetition_penalty": 1.2, "length_penalty": 0.7} if num_beams > 1 else {}
    wanted = reference(writers[name], source, target, num_beams, **told, n=num_beams // 2 or 1)
    answer = post(
        http, model=name, text=TEXT, source=source, target=target, num_beams=num_beams, max_tokens=LENGTH,
        n=num_beams // 2 or 1, **told,
    )  # fmt: skip
    (found,) = answer["translations"]
    assert [found["text"], *(each["text"] for each in found["alternatives"])] == [text for text, _ in wanted]
    if num_beams > 1:
        scores = [found["score"], *(each["score"] for each in found["alternatives"])]
        assert scores == pytest.approx([score for _, score in wanted], rel=1e-4)
    assert found["source"] == "bul_Cyrl"
    assert answer["usage"]["prompt_tokens"] > 0


def test_s25_mbart50_takes_aliases_of_languages_and_names_those_it_knows(http: httpx.Client) -> None:
    asked = {"model": "mbart50", "text": TEXT, "max_tokens": 8}
    texts = {
        post(http, **asked, source=source, target=target)["translations"][0]["text"]
        for source, target in (("bg", "en"), ("bg_BG", "en_XX"), ("Bulgarian", "eng_Latn"), ("български", "English"))
    }
    assert len(texts) == 1
    others = post(http, **asked, source="bg", target="sw")["translations"][0]
    assert others["target"] == "swh_Latn"
    assert others["text"] not in texts
    for field, named in (("target", "fi"), ("source", "fi")):
        refused = http.post("/v1/translate", json={**asked, "source": "bg", "target": "en", field: named})
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert (error["param"], error["code"]) == (field, "unsupported_language")
        assert "bul_Cyrl, eng_Latn, swh_Latn" in error["message"]


@pytest.mark.parametrize(("name", "token"), [("marian", ">>swa<<"), ("madlad", "<2sw>")])
def test_s39_a_target_is_one_token_and_changes_the_answer(
    name: str, token: str, http: httpx.Client, writers: dict[str, Writer]
) -> None:
    translator, tokenizer = writers[name].card.translator, writers[name].loaded.tokenizer
    assert translator is not None
    framings = [translator.framing(None, translator.target(target)) for target in ("bg", token)]
    assert [len(framing.before) for framing in framings] == [1, 1]
    found = [
        post(http, model=name, text="A cat sat.", target=target, max_tokens=8, num_beams=2)["translations"][0]
        for target in ("bg", "sw", token)
    ]
    assert found[0]["score"] != found[1]["score"]
    assert (found[1]["text"], found[1]["score"]) == (found[2]["text"], found[2]["score"])
    read = prompt_tokens(Generate("", framings[1].prompt("A cat"), SamplingParams()), tokenizer)
    assert read[0] == framings[1].before[0]


def test_a_model_that_is_told_in_words_gets_them(writers: dict[str, Writer]) -> None:
    for name, words in (("t5", "translate Bulgarian to German: "), ("mt5", "Translate to German: ")):
        translator = writers[name].card.translator
        assert translator is not None
        framing = translator.framing(translator.source("bg"), translator.target("de"))
        assert framing.prompt(TEXT) == words + TEXT
        assert translator.framing(None, parse("de"), "summarize: ").prompt(TEXT) == f"summarize: {TEXT}"


def test_what_is_no_text_is_kept(http: httpx.Client) -> None:
    asked = {"model": "mbart50", "source": "bg", "target": "en", "max_tokens": 5}
    text = "# Едно\n\n  - Две. Три!\n\n```\ncode\n```\n123\n"
    found = post(http, **asked, text=text)["translations"][0]["text"]
    lines = found.split("\n")
    assert [lines[at] for at in (1, 3, 4, 5, 6, 7, 8)] == ["", "", "```", "code", "```", "123", ""]
    assert lines[0].startswith("# ")
    assert lines[2].startswith("  - ")
    alone = [post(http, **asked, text=each)["translations"][0]["text"] for each in ("Две.", "Три!")]
    assert lines[2] == f"  - {alone[0]} {alone[1]}"
    html = post(http, **asked, text="<p>Две.</p><code>x &amp; y</code>", format="html")["translations"][0]["text"]
    assert html.startswith("<p>")
    assert html.endswith("</p><code>x &amp; y</code>")


def test_a_stream_tells_each_sentence_in_its_turn(http: httpx.Client) -> None:
    body = {
        "model": "mbart50", "text": ["Едно. Две.\nТри.", "Четири."], "source": "bg", "target": "en", "max_tokens": 5,
    }  # fmt: skip
    whole = [each["text"] for each in post(http, **body)["translations"]]
    events = []
    with http.stream("POST", "/v1/translate", json={**body, "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    assert [event["index"] for event in events[:-1]] == [0, 0, 0, 1]
    assert events[-1]["usage"]["completion_tokens"] > 0
    told = ["".join(event["text"] for event in events if event["index"] == at) for at in (0, 1)]
    assert told == whole


def test_empty_and_very_long_texts_are_translated(http: httpx.Client) -> None:
    asked = {"model": "mbart50", "target": "en"}
    for text in ("", " \n"):
        found = post(http, **asked, text=text)
        assert found["translations"][0]["text"] == text
        assert found["usage"]["total_tokens"] == 0
    # Six sentences, and 100,000 characters of which nothing is left out.
    text = ("б" * 60 + " ") * 30 + "\n" + "-" * 98_000 + "\n" + TEXT * 8
    assert len(text) > 100_000
    found = post(http, **asked, text=text, source="bg", max_tokens=1)["translations"][0]
    assert "-" * 98_000 in found["text"]


def test_a_document_that_has_begun_waits_for_room_in_the_queue(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"model": "mbart50", "source": "bg", "target": "en", "max_tokens": 2, "text": "Едно. Две. Три."}
    wanted = post(http, **asked)["translations"]
    original, calls = streaming.generate_all, list[int]()

    def generate_all(client: Any, messages: Any, request: Any) -> Any:
        calls.append(len(messages))
        if len(calls) == 2:
            raise QueueFull(num_waiting=9)
        return original(client, messages, request)

    monkeypatch.setattr(translating, "_MOST_PIECES", 2)
    monkeypatch.setattr(translating, "generate_all", generate_all)
    assert post(http, **asked)["translations"] == wanted
    assert calls == [2, 1, 1]
    calls[:] = [0]
    refused = http.post("/v1/translate", json=asked)
    assert refused.status_code == 429


def test_a_prefix_begins_the_translation(http: httpx.Client) -> None:
    asked = {"model": "m2m100", "text": TEXT, "source": "bg", "target": "sw", "max_tokens": 6}
    for num_beams in (1, 3):
        found = post(http, **asked, num_beams=num_beams, prefix="сте")["translations"][0]
        assert found["text"].startswith("сте")
        assert len(found["text"]) > 3


def test_translators_answer_chats(http: httpx.Client) -> None:
    asked = {"model": "mbart50", "max_tokens": 6, "temperature": 0}
    wanted = post(http, model="mbart50", text=TEXT, source="bg", target="en", max_tokens=6)["translations"][0]["text"]
    said = {"role": "user", "content": TEXT}
    for system in ("Translate from Bulgarian to English.", "bg -> en", "You translate into English, and say no more."):
        turns = [{"role": "system", "content": system}, {"role": "user", "content": "Едно."}, said]
        found = post(http, "/v1/chat/completions", **asked, messages=turns)
        assert found["choices"][0]["message"]["content"] == wanted
        assert found["choices"][0]["finish_reason"] == "stop"
    found = post(http, "/v1/chat/completions", **asked, messages=[said], source="bg", target="en_XX")
    assert found["choices"][0]["message"]["content"] == wanted
    refused = http.post("/v1/chat/completions", json={**asked, "messages": [said]})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "target"
