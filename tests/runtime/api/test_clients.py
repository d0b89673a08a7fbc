"""Clients that people use, each as its own documentation tells, against a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.runtime.test_embeddings import cosine, hidden_states, wordpiece
from tests.server import ServerProcess, serving
from tests.tiny.encoders import tiny_bert, write_encoder

CHAT = "smollm2-135m-instruct"
QUESTION = "What is the capital of France? Answer in one sentence."
MESSAGES: list[Any] = [{"role": "user", "content": QUESTION}]
TEXTS = ["the cat", "кот сидит"]
JAVASCRIPT = Path(__file__).parent / "javascript"


class Capital(BaseModel):
    """What a structured answer must be."""

    city: Literal["Paris", "Москва", "東京"]
    is_large: bool


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    bert = write_encoder(tmp_path_factory.mktemp("models") / "bert.gguf", tiny_bert(), pooling="mean")
    with serving(CHAT, str(bert), "--context", "1024") as server:
        yield server


def are_berts_vectors(vectors: Any) -> bool:
    """Whether `vectors` are those that transformers gives for `TEXTS`."""
    ids = [wordpiece().encode(text).ids for text in TEXTS]
    expected = [hidden_states(tiny_bert(), one).mean(0) for one in ids]
    return all(cosine(np.array(found), known) > 0.9999 for found, known in zip(vectors, expected, strict=True))


async def test_openais_async_client_has_every_kind_of_answer(server: ServerProcess) -> None:
    async with AsyncOpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as client:
        options: dict[str, Any] = {"model": CHAT, "messages": MESSAGES, "temperature": 0, "max_completion_tokens": 40}
        whole = await client.chat.completions.create(**options)
        text = whole.choices[0].message.content
        assert "Paris" in text
        chunks = [chunk async for chunk in await client.chat.completions.create(**options, stream=True)]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
        async with client.chat.completions.stream(**options) as events:
            assert (await events.get_final_completion()).choices[0].message.content == text
        parsed = await client.chat.completions.parse(**options, response_format=Capital)
        assert isinstance(parsed.choices[0].message.parsed, Capital)
        completion = await client.completions.create(model=CHAT, prompt="1, 2, 3,", max_tokens=4, temperature=0)
        assert completion.choices[0].text
        vectors = await client.embeddings.create(model="bert", input=TEXTS)
        assert are_berts_vectors([item.embedding for item in vectors.data])
        response = await client.responses.create(model=CHAT, input=QUESTION, temperature=0, max_output_tokens=40)
        assert response.output_text == text
        async with client.responses.stream(
            model=CHAT, input=QUESTION, temperature=0, max_output_tokens=40
        ) as response_events:
            assert (await response_events.get_final_response()).output_text == text
        told = await client.responses.parse(model=CHAT, input=QUESTION, text_format=Capital, temperature=0)
        assert isinstance(told.output_parsed, Capital)


@pytest.fixture(scope="module")
def litellm() -> Iterator[Any]:
    """The package, which otherwise asks the network for its list of prices when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import litellm

        yield litellm


# Of its own types, when pydantic meets them first.
@pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning")
async def test_litellm_completes_streams_embeds_and_tells_errors_apart(server: ServerProcess, litellm: Any) -> None:
    place = {"api_base": server.base_url, "api_key": "unused", "max_retries": 0}
    options: dict[str, Any] = {"messages": MESSAGES, "temperature": 0, "max_tokens": 40} | place
    whole = litellm.completion(model=f"openai/{CHAT}", **options)
    text = whole.choices[0].message.content
    assert "Paris" in text
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    stream = litellm.completion(model=f"openai/{CHAT}", stream=True, **options)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == text and len(pieces) > 3
    later = await litellm.acompletion(model=f"openai/{CHAT}", **options)
    assert later.choices[0].message.content == text
    shaped = litellm.completion(model=f"openai/{CHAT}", response_format=Capital, **options)
    Capital.model_validate_json(shaped.choices[0].message.content)
    vectors = litellm.embedding(model="openai/bert", input=TEXTS, encoding_format="float", **place)
    assert are_berts_vectors([item["embedding"] for item in vectors.data])
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(model=f"openai/{CHAT}", **options | {"max_tokens": 5000})
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="openai/missing", **options)


def test_langchain_invokes_streams_parses_and_embeds(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    place: dict[str, Any] = {"base_url": server.base_url, "api_key": "unused", "max_retries": 0}
    options: dict[str, Any] = {"model": CHAT, "temperature": 0, "max_tokens": 40} | place
    model: Any = ChatOpenAI(**options)
    answer = model.invoke(QUESTION)
    assert "Paris" in answer.content
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["finish_reason"] == "stop"
    pieces = [chunk.content for chunk in model.stream(QUESTION)]
    assert "".join(pieces) == answer.content and len(pieces) > 3
    assert isinstance(model.with_structured_output(Capital, method="json_schema").invoke(QUESTION), Capital)
    assert "Paris" in ChatOpenAI(**options, use_responses_api=True).invoke(QUESTION).text
    # Else it counts tokens itself, with the vocabulary of OpenAI's models, and sends token ids.
    vectors = OpenAIEmbeddings(model="bert", check_embedding_ctx_length=False, **place)
    assert are_berts_vectors(vectors.embed_documents(TEXTS))


def test_the_llm_command_answers_with_an_extra_openai_model(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: mine\n  model_name: {CHAT}\n  api_base: {server.base_url}\n", encoding="utf-8"
    )

    def llm(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "llm", *arguments],
            env={**os.environ, "LLM_USER_PATH": str(tmp_path), "LLM_LOAD_PLUGINS": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout.strip()

    options = ("--model", "mine", "--option", "temperature", "0", "--option", "max_tokens", "40")
    streamed = llm(QUESTION, *options)
    assert "Paris" in streamed
    assert llm(QUESTION, *options, "--no-stream") == streamed


@pytest.fixture(scope="module")
def javascript(request: pytest.FixtureRequest) -> Path:
    """A folder with `client.mjs` and the npm package that it needs, which is kept for the next run of the tests."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no node with npm")
    cache = request.config.cache
    assert cache is not None
    folder = Path(cache.mkdir("javascript-client"))
    lock = (JAVASCRIPT / "package-lock.json").read_bytes()
    done = folder / "installed.json"
    if not done.exists() or done.read_bytes() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(JAVASCRIPT / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
        installing = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
        if installing.returncode:
            pytest.skip(f"npm cannot install the package openai: {installing.stderr.strip()[-300:]}")
        done.write_bytes(lock)
    shutil.copy(JAVASCRIPT / "client.mjs", folder)
    return folder


def test_openais_javascript_client_answers_streams_embeds_and_is_refused(
    server: ServerProcess, javascript: Path
) -> None:
    done = subprocess.run(
        ["node", "client.mjs", server.base_url, CHAT, "bert"],
        cwd=javascript,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "Paris" in told["content"]
    assert told["streamed"] == told["response"] == told["content"]
    assert told["widths"] == [64, 64]
    assert told["refusal"] == {"status": 400, "param": "temperature"}
    assert told["models"] == [CHAT, "bert"]
