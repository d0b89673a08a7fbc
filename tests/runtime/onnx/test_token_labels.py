"""Entities and hidden words are those of transformers' pipelines, in characters of the text as it was sent."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from converters.probes import LINES
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.folders import copied
from tests.runtime.onnx.reference import pipeline, tokenizer_of
from tests.server import serving

TOLERANCE = 1e-4
TEXTS = [
    "Wolfgang lives in Berlin, with 3 unaffable cats.",
    "El Barça va guanyar a l'Hospitalet; en Pau col·labora amb la Núria, l’Anna i d'altres.",
    "Мария пътува до София.\nПосле се връща  у дома.",
    "हिन्दी 👩‍👩‍👧 ሰላም",
]
MASKED = ["La Núria <mask> a l'Hospitalet.", "Pau col·labora amb<mask>", "<mask> пътува до <mask>."]


@pytest.fixture(scope="module")
def http(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    names = ("bert-ner", "xlmr-ner", "roberta-ner", "roberta-mlm", "xlmr-mlm", "longformer-mlm")
    short = copied(sources, "xlmr-ner", tmp_path_factory.mktemp("short"), max_length=12)
    short = short.rename(short.with_name("short-onnx"))
    paths = [*(sources.exported(name).path for name in names), short]
    with (
        serving(*map(str, paths), "--max-models", "3") as server,
        httpx.Client(base_url=server.url, timeout=120) as made,
    ):
        yield made


def post(http: httpx.Client, path: str, model: str, **body: Any) -> list[dict[str, Any]]:
    answer = http.post(path, json={"model": f"{model}-onnx", **body})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def refusal(http: httpx.Client, path: str, model: str, **body: Any) -> dict[str, Any]:
    answer = http.post(path, json={"model": f"{model}-onnx", **body})
    assert answer.status_code == 400, answer.text
    found: dict[str, Any] = answer.json()["error"]
    return found


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("name", ["bert-ner", "xlmr-ner", "roberta-ner"])
def test_entities_are_those_of_the_pipeline(name: str, strategy: str, http: httpx.Client, sources: Sources) -> None:
    judge = pipeline(sources, name, "ner", "token-classification", aggregation_strategy=strategy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a vocabulary that does not tell which pieces go on with a word
        wanted = judge(TEXTS)
    found = post(http, "/v1/token-classify", name, input=TEXTS, aggregation_strategy=strategy)
    key = "entity" if strategy == "none" else "entity_group"
    assert sum(map(len, wanted)) > 5
    for text, theirs, ours in zip(TEXTS, wanted, found, strict=True):
        entities = ours["entities"]
        assert [(one["label"], one["start"], one["end"]) for one in entities] == [
            (one[key], one["start"], one["end"]) for one in theirs
        ]
        scores = [float(one["score"]) for one in theirs]
        assert [one["score"] for one in entities] == pytest.approx(scores, abs=TOLERANCE)
        assert all(one["word"] == text[one["start"] : one["end"]] for one in entities)


def test_s51_names_keep_the_middle_dot_and_the_apostrophe_where_they_stand(http: httpx.Client) -> None:
    text = "l'Anna col·labora amb l’Hospitalet"
    (found,) = post(
        http, "/v1/token-classify", "roberta-ner", input=text, aggregation_strategy="none", ignore_labels=[]
    )
    # A character of several bytes may be in as many tokens; else each is in one, but for the spaces between words.
    spans = dict.fromkeys((one["start"], one["end"]) for one in found["entities"])
    assert "".join(text[start:end] for start, end in spans) == text.replace(" ", "")
    assert all(one["word"] == text[one["start"] : one["end"]] for one in found["entities"])
    assert {"·", "’"} <= {mark for one in found["entities"] for mark in one["word"]}


def test_labels_that_are_ignored_are_those_that_were_named(http: httpx.Client) -> None:
    (plain,) = post(http, "/v1/token-classify", "bert-ner", input=TEXTS[0])
    (others,) = post(http, "/v1/token-classify", "bert-ner", input=TEXTS[0], ignore_labels=["PER"])
    (every,) = post(http, "/v1/token-classify", "bert-ner", input=TEXTS[0], ignore_labels=[])
    assert {one["label"] for one in plain["entities"]} == {"PER"}
    assert {one["label"] for one in others["entities"]} == {"O"}
    by_place = sorted([*plain["entities"], *others["entities"]], key=lambda one: int(one["start"]))
    assert every["entities"] == by_place


def test_a_long_text_is_labelled_in_windows_that_end_before_a_word(http: httpx.Client, sources: Sources) -> None:
    text = " ".join(LINES.values())[:3000]
    options: dict[str, Any] = {"aggregation_strategy": "none", "ignore_labels": []}
    error = refusal(http, "/v1/token-classify", "short", input=text)
    assert error["code"] == "context_length_exceeded"
    (whole,) = post(http, "/v1/token-classify", "short", input=text, chunk=True, **options)
    offsets = tokenizer_of(sources, "xlmr-ner")(text, return_offsets_mapping=True, add_special_tokens=False)
    assert [(one["start"], one["end"]) for one in whole["entities"]] == offsets["offset_mapping"]
    (cut,) = post(http, "/v1/token-classify", "short", input=text, truncate=True, **options)
    assert len(cut["entities"]) == 10
    # Each window reads the same as its own text alone.
    places = [one["start"] for one in whole["entities"]]
    first = next(at for at in range(10, 0, -1) if text[places[at] - 1] == " " and places[at] != places[at - 1])
    alone = text[: places[first] - 1]
    (again,) = post(http, "/v1/token-classify", "short", input=alone, **options)
    assert [one["label"] for one in again["entities"]] == [one["label"] for one in whole["entities"][:first]]
    scores = [one["score"] for one in whole["entities"][:first]]
    assert [one["score"] for one in again["entities"]] == pytest.approx(scores, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["roberta-mlm", "xlmr-mlm", "longformer-mlm"])
def test_s51_s53_hidden_words_are_those_of_the_pipeline(name: str, http: httpx.Client, sources: Sources) -> None:
    guess = pipeline(sources, name, "mlm", "fill-mask", top_k=7)
    found = post(http, "/v1/fill-mask", name, input=MASKED, top_k=7)
    for text, ours in zip(MASKED, found, strict=True):
        theirs = guess(text)
        theirs = theirs if isinstance(theirs[0], list) else [theirs]
        assert len(ours["masks"]) == len(theirs) == text.count("<mask>")
        for mask, wanted in zip(ours["masks"], theirs, strict=True):
            assert [one["token"] for one in mask] == [one["token"] for one in wanted]
            assert [one["score"] for one in mask] == pytest.approx([one["score"] for one in wanted], abs=TOLERANCE)
            assert [one["token_str"].strip() for one in mask] == [one["token_str"].strip() for one in wanted]


def test_s51_a_token_that_begins_a_word_brings_its_space_and_another_goes_on_with_the_word(
    http: httpx.Client, sources: Sources
) -> None:
    vocabulary = tokenizer_of(sources, "roberta-mlm").get_vocab()
    body: dict[str, Any] = {"input": "amb <mask>l'Anna", "targets": ["Ġk", "k"]}
    (found,) = post(http, "/v1/fill-mask", "roberta-mlm", **body)
    by_token = {one["token"]: one for one in found["masks"][0]}
    assert set(by_token) == {vocabulary["Ġk"], vocabulary["k"]}
    assert by_token[vocabulary["Ġk"]]["sequence"] == "amb kl'Anna"
    assert by_token[vocabulary["k"]]["sequence"] == "ambkl'Anna"
    assert by_token[vocabulary["Ġk"]]["token_str"] == " k"


def test_targets_are_chosen_among_alone(http: httpx.Client, sources: Sources) -> None:
    guess = pipeline(sources, "xlmr-mlm", "mlm", "fill-mask", targets=["a", "▁", "и"])
    (found,) = post(http, "/v1/fill-mask", "xlmr-mlm", input=MASKED[0], targets=["a", "▁", "и"])
    wanted = guess(MASKED[0])
    assert [one["token"] for one in found["masks"][0]] == [one["token"] for one in wanted]
    assert [one["score"] for one in found["masks"][0]] == pytest.approx([one["score"] for one in wanted], abs=TOLERANCE)
    error = refusal(http, "/v1/fill-mask", "xlmr-mlm", input=MASKED[0], targets=["Hospitalet"])
    assert error["param"] == "targets" and "'Hospitalet' is no token of the model; its tokens are" in error["message"]


def test_the_mask_may_be_written_in_both_ways_and_must_be_there(http: httpx.Client) -> None:
    both = [post(http, "/v1/fill-mask", "xlmr-mlm", input=f"La Núria {mask} casa.") for mask in ("[MASK]", "<mask>")]
    assert both[0] == both[1]
    error = refusal(http, "/v1/fill-mask", "xlmr-mlm", input=[MASKED[0], "La Núria a casa."])
    assert error["param"] == "input[1]"
    assert "input[1] has no mask. Write <mask> (or [MASK])" in error["message"]
    far = refusal(http, "/v1/fill-mask", "xlmr-mlm", input="a b c " * 100 + "<mask>", truncate=True)
    assert "has its mask beyond the" in far["message"]


def test_other_names_of_control_tokens_are_text(http: httpx.Client) -> None:
    (found,) = post(
        http, "/v1/token-classify", "roberta-ner", input="</s>", aggregation_strategy="none", ignore_labels=[]
    )
    assert len(found["entities"]) > 1 and "".join(one["word"] for one in found["entities"]) == "</s>"
