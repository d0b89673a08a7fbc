"""The OpenAPI document: complete, true of every answer, and with examples that work."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from runtime.api.app import create_app
from runtime.api.examples import EXAMPLES
from runtime.config import EngineConfig, ServerConfig
from runtime.engine.loader import WorkerLoader
from runtime.engine.pool import ModelPool
from tests.converters.onnx.sources import Sources
from tests.server import ServerProcess, serving
from tests.tiny.encoders import tiny_bert, tiny_qwen3, tiny_xlm_roberta, write_encoder
from tests.tiny.gguf import write_tiny_gguf

DOCUMENT = create_app(ModelPool([], WorkerLoader({}, EngineConfig())), ServerConfig()).openapi()
OPERATIONS = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]
BODIES = [(path, operation["post"]) for path, operation in DOCUMENT["paths"].items() if "post" in operation]


def reached(part: Any, found: set[str]) -> set[str]:
    """Names of all schemas that a part of the document leads to."""
    if isinstance(part, dict):
        name = str(part.get("$ref", "")).rpartition("/")[2]
        if name and name not in found:
            found.add(name)
            reached(DOCUMENT["components"]["schemas"][name], found)
        for inner in part.values():
            reached(inner, found)
    elif isinstance(part, list):
        for inner in part:
            reached(inner, found)
    return found


def test_every_field_of_every_request_says_what_it_means() -> None:
    names = reached([operation["requestBody"] for _, operation in BODIES], set())
    assert {"ChatCompletionRequest", "ChatMessage", "EmbeddingRequest", "UnloadRequest"} <= names
    schemas = DOCUMENT["components"]["schemas"]
    silent = [
        f"{name}.{field}"
        for name in sorted(names)
        for field, schema in schemas[name].get("properties", {}).items()
        if not schema.get("description")
    ]
    assert silent == []


def test_every_endpoint_has_a_summary_examples_and_the_errors_in_their_shape() -> None:
    assert {path for path, _ in BODIES} == set(EXAMPLES)
    for method, path in OPERATIONS:
        operation = DOCUMENT["paths"][path][method]
        assert operation["description"], path
        assert "422" not in operation["responses"]
        assert {"200", "400", "500"} <= set(operation["responses"])
        libres = {"/translate", "/detect", "/languages"}
        shape = "LibreErrorBody" if path in libres else "ErrorBody"
        shape = "AnthropicErrorBody" if path.startswith("/v1/messages") else shape
        for status in set(operation["responses"]) - {"200"} - ({"503"} if path == "/health" else set()):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema["$ref"].rpartition("/")[2] == shape, (path, status)
        assert all("description" in each and "example" in each for each in operation.get("parameters", ()))


# Every example


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sources: Sources) -> Iterator[ServerProcess]:
    """Models under the names that the examples have: the starters, and tiny ones for the rest."""
    folder = tmp_path_factory.mktemp("models")
    write_encoder(folder / "qwen3-embedding-0.6b.gguf", tiny_qwen3(), pooling="last")
    write_encoder(folder / "bge-reranker-v2-m3.gguf", tiny_xlm_roberta(labels=1))
    write_encoder(folder / "my-classifier.gguf", tiny_bert(labels=3))
    for name, made in (
        ("my-ner-onnx", "xlmr-ner"),
        ("xlm-roberta-base-onnx", "xlmr-mlm"),
        ("my-translator", "mbart50"),
    ):
        shutil.copytree(sources.exported(made).path, folder / name)
    tiny = [str(path) for path in sorted(folder.iterdir())]
    with serving("smollm2-135m-instruct", "gemma-3-270m", *tiny, "--context", "512", "--max-models", "3") as server:
        yield server


def check_answer(method: str, path: str, answer: httpx.Response) -> None:
    """An answer is of the status, the type and the shape that the document tells."""
    told = DOCUMENT["paths"][path][method]["responses"][str(answer.status_code)]
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in told["content"], answer.text
    if kind == "application/json":
        schema = told["content"][kind]["schema"] | {"components": DOCUMENT["components"]}
        jsonschema.validate(answer.json(), schema)


@pytest.mark.parametrize(
    ("path", "summary"), [(path, summary) for path, examples in EXAMPLES.items() for summary in examples]
)
def test_every_example_gets_the_answer_that_the_document_tells(path: str, summary: str, server: ServerProcess) -> None:
    shown = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
    body = shown[summary]["value"]
    answer = httpx.post(f"{server.url}{path}", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    assert "x-demotic-ignored" not in answer.headers
    check_answer("post", path, answer)
    if body.get("stream"):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert '"error":{' not in answer.text


def test_endpoints_without_a_body_answer_as_the_document_tells(server: ServerProcess) -> None:
    body = EXAMPLES["/v1/responses"]["A question"]
    kept = httpx.post(f"{server.base_url}/responses", json=body, timeout=120).json()["id"]
    example = {
        parameter["name"]: parameter["example"]
        for method, path in OPERATIONS
        for parameter in DOCUMENT["paths"][path][method].get("parameters", ())
    }
    asked = [(method, path) for method, path in OPERATIONS if method != "post"]
    for method, path in sorted(asked, key=lambda each: each[0] == "delete"):
        named = example | {"response_id": kept}
        url = path.format(**named)
        parameters = DOCUMENT["paths"][path][method].get("parameters", ())
        asked_for = {each["name"]: named[each["name"]] for each in parameters if each["in"] == "query"}
        known = {name: value for name, value in asked_for.items() if value is not None}
        answer = httpx.request(method, f"{server.url}{url}", params=known, timeout=60)
        assert answer.status_code == 200, url
        check_answer(method, path, answer)


# Whatever the document allows, and what it does not

MODELS = {
    "/v1/embeddings": "vectors",
    "/v1/rerank": "vectors",
    "/v1/score": "vectors",
    "/v1/classify": "classes",
    "/v1/token-classify": "xlmr-ner-onnx",
    "/v1/fill-mask": "xlmr-mlm-onnx",
    "/v1/translate": "mbart50-onnx",
}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, sources: Sources) -> Iterator[ServerProcess]:
    """A server of tiny models, which answer at once."""
    folder = tmp_path_factory.mktemp("fuzzed")
    write_tiny_gguf(folder / "tiny.gguf", context_length=64)
    write_encoder(folder / "vectors.gguf", tiny_bert(), pooling="mean")
    write_encoder(folder / "classes.gguf", tiny_bert(labels=3))
    files = [folder / f"{name}.gguf" for name in ("tiny", "vectors", "classes")]
    graphs = [sources.exported(name).path for name in ("xlmr-ner", "xlmr-mlm", "mbart50")]
    with serving(*map(str, [*files, *graphs])) as server:
        yield server


SCHEMA = schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT))
CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    # What cannot be in a path or in no body at all is not made up.
    [(*operation, GenerationMode.POSITIVE) for operation in OPERATIONS]
    + [("post", path, GenerationMode.NEGATIVE) for path, _ in BODIES],
)
def test_no_request_gets_a_500_or_what_the_document_does_not_tell(
    method: str, path: str, mode: GenerationMode, fuzzed: ServerProcess
) -> None:
    @settings(
        max_examples=40,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=SCHEMA[path][method].as_strategy(generation_mode=mode), knows_model=booleans())
    def ask(case: Any, knows_model: bool) -> None:
        # No made-up name is a model's: half of the requests are for one that is there.
        if knows_model and isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = MODELS.get(path, "tiny")
        case.call_and_validate(base_url=fuzzed.url, checks=CHECKS, timeout=30)

    ask()


def test_the_document_of_a_server_is_that_of_its_application(fuzzed: ServerProcess) -> None:
    assert httpx.get(f"{fuzzed.url}/openapi.json").json() == json.loads(json.dumps(DOCUMENT))
