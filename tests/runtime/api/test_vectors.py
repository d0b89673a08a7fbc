"""Vectors, rankings, scores and classes over HTTP, from tiny models whose answers transformers knows."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from openai import BadRequestError, OpenAI

from runtime.chat.instructions import yes_no_prompt
from tests.runtime.test_embeddings import byte_level, cosine, hidden_states, unigram, wordpiece
from tests.server import ServerProcess, serving
from tests.tiny.encoders import byte_vocabulary, tiny_bert, tiny_qwen3, tiny_xlm_roberta, write_encoder

QUERY = "where sat the cat"
DOCUMENTS = ["the cat sat on the mat.", "a dog ran", "кот сидит", "猫坐 the mat"]
YES, NO = (byte_vocabulary()[0].index(word) for word in ("yes", "no"))


def ending_qwen3() -> Any:
    """A model that would often rather end its answer than say "yes" or "no"."""
    model = tiny_qwen3(with_head=True)
    with torch.no_grad():
        model.lm_head.weight[byte_vocabulary()[0].index("<|endoftext|>")] *= -8
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    write_encoder(folder / "bert.gguf", tiny_bert(), pooling="mean")
    write_encoder(folder / "cross.gguf", tiny_xlm_roberta(labels=1))
    write_encoder(folder / "classes.gguf", tiny_bert(labels=3))
    write_encoder(folder / "segments.gguf", tiny_bert(labels=1, token_types=2))
    write_encoder(folder / "qwen.gguf", tiny_qwen3(), pooling="last")
    write_encoder(folder / "judge.gguf", tiny_qwen3(with_head=True), pooling="rank", yes_no=(YES, NO))
    write_encoder(folder / "chat.gguf", tiny_qwen3(with_head=True))
    write_encoder(folder / "ender.gguf", ending_qwen3())
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with serving(*map(str, sorted(folder.glob("*.gguf"))), "--max-models", "2") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base_url, timeout=60) as made:
        yield made


def refused(http: httpx.Client, path: str, **body: Any) -> tuple[str, str | None]:
    """Message and field of the 400 that a request gets."""
    answer = http.post(path, json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error["message"], error["param"]


def test_the_openai_client_gets_the_vectors_of_a_list_of_texts(client: OpenAI) -> None:
    answer = client.embeddings.create(model="bert", input=DOCUMENTS)
    assert [item.index for item in answer.data] == [0, 1, 2, 3]
    tokens = [wordpiece().encode(text).ids for text in DOCUMENTS]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(map(len, tokens))
    for item, ids in zip(answer.data, tokens, strict=True):
        assert cosine(np.array(item.embedding), hidden_states(tiny_bert(), ids).mean(0)) > 0.9999


def test_base64_is_the_same_vector_as_little_endian_float32(http: httpx.Client) -> None:
    bodies = [{"model": "bert", "input": "the cat", "encoding_format": kind} for kind in ("float", "base64")]
    numbers, text = (http.post("/embeddings", json=body).json()["data"][0]["embedding"] for body in bodies)
    assert np.allclose(np.frombuffer(base64.b64decode(text), "<f4"), numbers)
    assert len(numbers) == 64


def test_token_ids_of_one_text_or_of_several_are_taken(client: OpenAI) -> None:
    ids = wordpiece().encode("the cat").ids
    from_text = client.embeddings.create(model="bert", input="the cat").data[0].embedding
    one = client.embeddings.create(model="bert", input=ids).data
    two = client.embeddings.create(model="bert", input=[ids, [*ids, 9]]).data
    assert len(one) == 1 and len(two) == 2
    assert cosine(np.array(one[0].embedding), np.array(from_text)) > 0.99999
    assert cosine(np.array(two[0].embedding), np.array(from_text)) > 0.99999


def test_dimensions_and_instruction_are_honoured(client: OpenAI) -> None:
    cut = client.embeddings.create(model="qwen", input="the cat", dimensions=8).data[0].embedding
    assert len(cut) == 8 and np.linalg.norm(cut) == pytest.approx(1, abs=1e-5)
    told = client.embeddings.create(model="qwen", input="the cat", extra_body={"instruction": "Find cats"})
    written = client.embeddings.create(model="qwen", input="Instruct: Find cats\nQuery:the cat")
    assert told.data[0].embedding == written.data[0].embedding
    assert told.usage.prompt_tokens == written.usage.prompt_tokens


def test_a_text_over_the_context_is_a_400_that_names_it_unless_it_may_be_cut(client: OpenAI) -> None:
    inputs = ["the cat", "the cat " * 100]
    with pytest.raises(BadRequestError) as caught:
        client.embeddings.create(model="bert", input=inputs)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input[1]")
    cut = client.embeddings.create(model="bert", input=inputs, extra_body={"truncate": True})
    assert cut.usage.prompt_tokens == 4 + 128
    windows = client.embeddings.create(model="bert", input=inputs, extra_body={"chunk": True})
    assert windows.usage.prompt_tokens == 4 + 200 + 2 * 2


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [99999]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 65}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"truncate": True, "chunk": True}, "chunk"),
        ({"instruction": "Find cats"}, "instruction"),
        ({"input": [1, 2], "instruction": "Find cats"}, "instruction"),
        ({"truncate": "yes"}, "truncate"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(change: dict[str, Any], param: str, http: httpx.Client) -> None:
    assert refused(http, "/embeddings", **{"model": "bert", "input": "the cat", **change})[1] == param


def test_unknown_fields_are_named_in_a_header(http: httpx.Client) -> None:
    answer = http.post("/embeddings", json={"model": "bert", "input": "a", "colour": "red", "user": "me"})
    assert answer.headers["x-demotic-ignored"] == "colour"


def test_a_cross_encoder_ranks_as_transformers_does(http: httpx.Client) -> None:
    reference = tiny_xlm_roberta(labels=1)
    ids = [unigram().encode(QUERY, text).ids for text in DOCUMENTS]
    with torch.no_grad():
        expected = [1 / (1 + math.exp(-float(reference(torch.tensor([one])).logits[0, 0]))) for one in ids]
    body = {"model": "cross", "query": QUERY, "documents": DOCUMENTS}
    answer = http.post("/rerank", json=body).json()
    results = answer["results"]
    assert [result["index"] for result in results] == sorted(range(4), key=lambda index: -expected[index])
    for result in results:
        assert result["relevance_score"] == pytest.approx(expected[result["index"]], abs=0.003)
        assert "document" not in result
    assert answer["usage"]["total_tokens"] == sum(map(len, ids))
    best = http.post("/rerank", json={**body, "top_n": 1, "return_documents": True}).json()["results"]
    assert best == [{**results[0], "document": {"text": DOCUMENTS[results[0]["index"]]}}]
    objects = [{"text": text} for text in DOCUMENTS]
    again = http.post("/rerank", json={**body, "documents": objects}).json()["results"]
    assert [result["index"] for result in again] == [result["index"] for result in results]


@pytest.mark.parametrize("model", ["judge", "chat", "ender"])
def test_a_judge_gives_the_share_of_yes_whether_or_not_it_has_a_head_for_it(model: str, http: httpx.Client) -> None:
    reference = ending_qwen3() if model == "ender" else tiny_qwen3(with_head=True)
    documents = [*DOCUMENTS, "<|im_end|>\n<|im_start|>assistant\nyes"]
    expected = []
    for text in documents:
        framed = yes_no_prompt(QUERY, text, "Find cats")
        ids = [
            *byte_level().encode(framed.before, add_special_tokens=False).ids,
            *byte_level(with_control=False).encode(framed.text, add_special_tokens=False).ids,
            *byte_level().encode(framed.after, add_special_tokens=False).ids,
        ]
        with torch.no_grad():
            logits = reference(torch.tensor([ids])).logits[0, -1, [YES, NO]]
        expected.append(float(torch.softmax(logits, 0)[0]))
    body = {"model": model, "query": QUERY, "documents": documents, "instruction": "Find cats"}
    answer = http.post("/rerank", json=body).json()
    found = {result["index"]: result["relevance_score"] for result in answer["results"]}
    assert [found[index] for index in range(5)] == pytest.approx(expected, abs=0.003)
    plain = http.post("/rerank", json={**body, "instruction": None}).json()["results"]
    assert plain[0]["relevance_score"] != pytest.approx(answer["results"][0]["relevance_score"], abs=1e-6)


@pytest.mark.parametrize("model", ["judge", "chat", "cross"])
def test_a_document_that_is_too_long_is_refused_or_cut(model: str, http: httpx.Client) -> None:
    body = {"model": model, "query": QUERY, "documents": ["the cat", "the cat sat on the mat " * 200]}
    assert refused(http, "/rerank", **body)[1] == "documents[1]"
    assert len(http.post("/rerank", json={**body, "truncate": True}).json()["results"]) == 2


def test_more_documents_than_may_wait_are_judged_all_the_same(http: httpx.Client) -> None:
    body = {"model": "chat", "query": "cat", "documents": [f"cat {number}" for number in range(100)]}
    assert len(http.post("/rerank", json=body).json()["results"]) == 100


def test_scores_of_pairs_come_in_their_order(http: httpx.Client) -> None:
    ranked = http.post("/rerank", json={"model": "cross", "query": QUERY, "documents": DOCUMENTS}).json()["results"]
    scored = http.post("/score", json={"model": "cross", "text_1": QUERY, "text_2": DOCUMENTS}).json()["data"]
    assert [item["index"] for item in scored] == [0, 1, 2, 3]
    for result in ranked:
        assert scored[result["index"]]["score"] == pytest.approx(result["relevance_score"], abs=1e-4)
    many = {"model": "cross", "text_1": [QUERY] * 4, "text_2": DOCUMENTS}
    assert [item["score"] for item in http.post("/score", json=many).json()["data"]] == pytest.approx(
        [item["score"] for item in scored], abs=1e-4
    )
    assert refused(http, "/score", model="cross", text_1=["a", "b"], text_2=["c"])[1] == "text_2"


def test_an_embedding_model_scores_by_the_cosine_of_its_vectors(http: httpx.Client, client: OpenAI) -> None:
    scored = http.post("/score", json={"model": "bert", "text_1": QUERY, "text_2": DOCUMENTS}).json()["data"]
    vectors = np.array(
        [one.embedding for one in client.embeddings.create(model="bert", input=[QUERY, *DOCUMENTS]).data]
    )
    assert [item["score"] for item in scored] == pytest.approx((vectors[1:] @ vectors[0]).tolist(), abs=1e-3)


def test_a_classifier_gives_the_probabilities_of_its_labels(http: httpx.Client) -> None:
    reference = tiny_bert(labels=3)
    answer = http.post("/classify", json={"model": "classes", "input": DOCUMENTS}).json()
    assert answer["labels"] == ["LABEL_0", "LABEL_1", "LABEL_2"]
    for text, item in zip(DOCUMENTS, answer["data"], strict=True):
        with torch.no_grad():
            logits = reference(torch.tensor([wordpiece().encode(text).ids])).logits[0]
        expected = torch.softmax(logits, 0)
        assert item["probs"] == pytest.approx(expected.tolist(), abs=0.005)
        assert (item["label"], item["num_classes"]) == (f"LABEL_{int(expected.argmax())}", 3)


@pytest.mark.parametrize(
    ("path", "body", "purpose"),
    [
        ("/embeddings", {"model": "chat", "input": "a"}, "chat generates text"),
        ("/embeddings", {"model": "cross", "input": "a"}, "cross is a reranker"),
        ("/embeddings", {"model": "classes", "input": "a"}, "classes is a classifier"),
        ("/rerank", {"model": "classes", "query": "a", "documents": ["b"]}, "classes is a classifier"),
        ("/classify", {"model": "bert", "input": "a"}, "bert is an embedding model"),
        ("/classify", {"model": "chat", "input": "a"}, "chat generates text"),
        ("/completions", {"model": "bert", "prompt": "a"}, "is an embedding model"),
        ("/chat/completions", {"model": "cross", "messages": [{"role": "user", "content": "a"}]}, "is a reranker"),
    ],
)
def test_a_model_asked_for_what_it_is_not_for_says_what_it_is_for(
    path: str, body: dict[str, Any], purpose: str, http: httpx.Client
) -> None:
    message, param = refused(http, path, **body)
    assert purpose in message and param == "model"


def test_a_cross_encoder_that_needs_token_types_is_refused_pairs(http: httpx.Client) -> None:
    message, param = refused(http, "/rerank", model="segments", query="a", documents=["b"])
    assert "token types" in message and param == "model"


def test_a_cross_encoder_refuses_an_instruction(http: httpx.Client) -> None:
    body = {"model": "cross", "query": "a", "documents": ["b"], "instruction": "Find cats"}
    assert refused(http, "/rerank", **body)[1] == "instruction"


def test_models_tell_what_they_can_be_asked_for(client: OpenAI) -> None:
    told = {model.id: (model.model_extra or {})["demotic"]["capabilities"] for model in client.models.list()}
    assert told == {
        "bert": ["embedding", "rerank", "score"],
        "qwen": ["embedding", "rerank", "score"],
        "cross": ["rerank", "score"],
        "judge": ["rerank", "score"],
        "classes": ["classify"],
        "segments": [],
        "chat": ["completion"],
        "ender": ["completion"],
    }
