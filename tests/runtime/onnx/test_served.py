"""Graphs of encoders over HTTP answer what transformers computes of the checkpoints that they were made of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.converters.onnx.sources import TOPICS, Sources
from tests.runtime.onnx.folders import copied
from tests.runtime.onnx.reference import computed, model_of, pipeline, tokenizer_of
from tests.server import serving

# Of different lengths and scripts, so that a batch has padding.
TEXTS = [
    "Wolfgang lives in Berlin.",
    "Мария пътува до София, и после се връща у дома.",
    "हिन्दी",
    "El Barça va guanyar la final a l'Hospitalet, i en Pau col·labora amb la Núria.",
]
NAMES = (
    "bert", "qwen3-embedding", "mt5-encoder", "longformer", "bert-ner", "xlmr-ner", "roberta-mlm", "xlmr-mlm",
    "bert-pairs", "roberta", "xlmr-topics", "deberta", "llama-reward", "qwen3-reward",
)  # fmt: skip
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def http(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("changed")
    changed = [
        copied(sources, "roberta", folder / "several", problem_type="multi_label_classification"),
        copied(sources, "bert-pairs", folder / "number", problem_type="regression"),
    ]
    changed = [path.rename(path.parent.with_name(f"{path.parent.name}-onnx")) for path in changed]
    paths = [*(sources.exported(name).path for name in NAMES), *changed]
    with (
        serving(*map(str, paths), "--max-models", "4") as server,
        httpx.Client(base_url=server.url, timeout=120) as made,
    ):
        yield made


def post(http: httpx.Client, path: str, model: str, **body: Any) -> dict[str, Any]:
    answer = http.post(path, json={"model": f"{model}-onnx", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refusal(http: httpx.Client, path: str, model: str, **body: Any) -> dict[str, Any]:
    answer = http.post(path, json={"model": f"{model}-onnx", **body})
    assert answer.status_code == 400, answer.text
    found: dict[str, Any] = answer.json()["error"]
    return found


def vectors(http: httpx.Client, model: str, texts: list[str], **body: Any) -> np.ndarray[Any, Any]:
    data = post(http, "/v1/embeddings", model, input=texts, **body)["data"]
    return np.array([each["embedding"] for each in data])


def unit(vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize("name", ["bert", "qwen3-embedding", "mt5-encoder"])
def test_vectors_are_those_of_transformers_whatever_they_are_batched_with(
    name: str, http: httpx.Client, sources: Sources
) -> None:
    tokenizer = tokenizer_of(sources, name)
    model = model_of(sources, name, "mt5" if name == "mt5-encoder" else "features")
    states = [computed(model, tokenizer(text).input_ids) for text in TEXTS]
    pooled = [rows[-1] if name == "qwen3-embedding" else rows.mean(axis=0) for rows in states]
    wanted = np.array([unit(row) for row in pooled])
    assert vectors(http, name, TEXTS) == pytest.approx(wanted, abs=TOLERANCE)


def test_s17_topics_have_the_probabilities_and_the_names_of_the_checkpoint(
    http: httpx.Client, sources: Sources
) -> None:
    texts = ["Perezida yasuye ishuri.", "Umukino warangiye.", "Umuganga"]
    found = post(http, "/v1/classify", "xlmr-topics", input=texts)
    assert found["labels"] == list(TOPICS.values())
    judge = pipeline(sources, "xlmr-topics", "classify", "text-classification", top_k=None)
    for labels, one in zip(judge(texts), found["data"], strict=True):
        wanted = {each["label"]: each["score"] for each in labels}
        assert dict(zip(found["labels"], one["probs"], strict=True)) == pytest.approx(wanted, abs=TOLERANCE)
        assert one["label"] == max(wanted, key=lambda label: wanted[label])


def test_other_heads_classify_as_transformers_does(http: httpx.Client, sources: Sources) -> None:
    for name in ("roberta", "deberta", "longformer"):
        tokenizer, model = tokenizer_of(sources, name), model_of(sources, name, "classify")
        found = post(http, "/v1/classify", name, input=TEXTS)["data"]
        for text, one in zip(TEXTS, found, strict=True):
            logits = computed(model, tokenizer(text).input_ids)
            weights = np.exp(logits - logits.max())
            assert one["probs"] == pytest.approx(weights / weights.sum(), abs=TOLERANCE)


def test_labels_that_may_all_hold_have_each_their_own_probability_and_a_number_stays_one(
    http: httpx.Client, sources: Sources
) -> None:
    logits = computed(model_of(sources, "roberta", "classify"), tokenizer_of(sources, "roberta")(TEXTS[0]).input_ids)
    found = post(http, "/v1/classify", "several", input=TEXTS[0])["data"][0]
    assert found["probs"] == pytest.approx(1 / (1 + np.exp(-logits)), abs=TOLERANCE)
    number = computed(
        model_of(sources, "bert-pairs", "classify"), tokenizer_of(sources, "bert-pairs")(TEXTS[0]).input_ids
    )
    assert post(http, "/v1/classify", "number", input=TEXTS[0])["data"][0]["probs"] == pytest.approx(
        number, abs=TOLERANCE
    )


def test_a_cross_encoder_is_told_which_text_is_the_second(http: httpx.Client, sources: Sources) -> None:
    tokenizer, model = tokenizer_of(sources, "bert-pairs"), model_of(sources, "bert-pairs", "classify")
    pairs = [tokenizer("Where is Berlin?", text, return_token_type_ids=True) for text in TEXTS]
    logits = [float(computed(model, each.input_ids, each.token_type_ids)[0]) for each in pairs]
    assert max(pairs[0].token_type_ids) == 1
    found = post(http, "/v1/score", "bert-pairs", text_1="Where is Berlin?", text_2=TEXTS)["data"]
    wanted = [1 / (1 + np.exp(-logit)) for logit in logits]
    assert [each["score"] for each in found] == pytest.approx(wanted, abs=TOLERANCE)
    ranked = post(http, "/v1/rerank", "bert-pairs", query="Where is Berlin?", documents=TEXTS)["results"]
    assert [each["index"] for each in ranked] == sorted(range(4), key=lambda index: -wanted[index])


@pytest.mark.parametrize("name", ["llama-reward", "qwen3-reward"])
def test_s46_a_reward_is_that_of_the_last_token_in_a_batch_of_different_lengths(
    name: str, http: httpx.Client, sources: Sources
) -> None:
    tokenizer, model = tokenizer_of(sources, name), model_of(sources, name, "classify")
    wanted = [float(computed(model, tokenizer(text).input_ids)[0]) for text in TEXTS]
    assert max(wanted) - min(wanted) > 0.1
    found = post(http, "/v1/classify", name, input=TEXTS)["data"]
    assert [each["probs"][0] for each in found] == pytest.approx(wanted, abs=TOLERANCE)
    first, seconds = tokenizer(TEXTS[0]).input_ids, tokenizer(TEXTS, add_special_tokens=False).input_ids
    pairs = [float(computed(model, first + second)[0]) for second in seconds]
    scores = post(http, "/v1/score", name, text_1=TEXTS[0], text_2=TEXTS)["data"]
    assert [each["score"] for each in scores] == pytest.approx(pairs, abs=TOLERANCE)


def test_a_model_says_what_it_can_be_asked_for_and_refuses_the_rest(http: httpx.Client) -> None:
    models = {each["id"]: each["demotic"]["capabilities"] for each in http.get("/v1/models").json()["data"]}
    assert models["xlmr-ner-onnx"] == ["token-classify"] and models["roberta-mlm-onnx"] == ["fill-mask"]
    assert models["bert-pairs-onnx"] == ["rerank", "score", "classify"] and models["roberta-onnx"] == ["classify"]
    for path, body in (
        ("/v1/embeddings", {"input": "x"}),
        ("/v1/classify", {"input": "x"}),
        ("/v1/score", {"text_1": "x", "text_2": "y"}),
        ("/v1/fill-mask", {"input": "[MASK]"}),
        ("/v1/completions", {"prompt": "x"}),
    ):
        error = refusal(http, path, "xlmr-ner", **body)
        assert "labels the tokens of texts (/v1/token-classify)" in error["message"], path
    error = refusal(http, "/v1/token-classify", "bert", input="x")
    assert "is an embedding model" in error["message"]


def test_texts_that_are_empty_or_too_long_are_told_of_by_name(http: httpx.Client) -> None:
    long = "една котка седи " * 6250
    assert len(long) == 100_000
    for path, name, text in (
        ("/v1/embeddings", "bert", long),
        ("/v1/classify", "roberta", long),
        ("/v1/token-classify", "xlmr-ner", long),
        ("/v1/fill-mask", "roberta-mlm", f"<mask> {long}"),
    ):
        assert "input[1] is empty" in refusal(http, path, name, input=["<mask>", ""])["message"]
        error = refusal(http, path, name, input=[text[:20], text] if name != "roberta-mlm" else ["<mask>", text])
        assert (error["code"], error["param"]) == ("context_length_exceeded", "input[1]")
        cut = post(http, path, name, input=text, truncate=True)
        assert 120 < cut["usage"]["prompt_tokens"] <= 130
    whole = vectors(http, "bert", [long], chunk=True)
    assert np.linalg.norm(whole) == pytest.approx(1)
    assert np.abs(whole - vectors(http, "bert", [long], truncate=True)).max() > TOLERANCE


def test_a_broken_graph_ends_the_command_with_what_to_do(sources: Sources, tmp_path: Path) -> None:
    folder = copied(sources, "bert", tmp_path)
    (folder / "model.onnx").write_bytes(b"half")
    command = [sys.executable, "-m", "demotic", "serve", str(folder), "--port", "0"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "model.onnx is no sound ONNX graph" in done.stderr and "Export the model anew" in done.stderr
