"""Several answers to a prompt, and several prompts: the real client, and an engine that can be looked into."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion

from runtime.api.app import create_app
from runtime.backends.base import Chunk, Logits
from runtime.card import ModelCard
from runtime.config import ChoiceLimits, EngineConfig, ServerConfig
from runtime.engine.client import InProcessClient
from runtime.engine.pool import ModelPool
from runtime.errors import AdapterNotFound
from runtime.hardware.plan import Plan
from runtime.model import Model
from runtime.models.inspect import Header
from runtime.models.store import ModelFile
from tests.endpoint import local_endpoint
from tests.fakes.decoder import ScriptedDecoder
from tests.fakes.worker import PLAN
from tests.server import ServerProcess
from tests.tiny.gguf import write_tiny_gguf

CHAT = "smollm2-135m-instruct"
BASE = "gemma-3-270m"
# The answer is certain enough to be the same whatever else is in the batch.
QUESTION = "What is the capital of France? Answer in one sentence."
MANY = 1_000_000


def chat(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": QUESTION}], **options)


def texts_of(answer: ChatCompletion) -> list[str]:
    return [choice.message.content or "" for choice in answer.choices]


# The real client and the real server


def test_three_greedy_choices_are_the_same_answer_three_times(client: openai.OpenAI) -> None:
    one, three = chat(client, temperature=0), chat(client, temperature=0, n=3)
    assert "Paris" in texts_of(one)[0]
    assert texts_of(three) == texts_of(one) * 3
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert {choice.finish_reason for choice in three.choices} == {"stop"}
    assert three.usage.prompt_tokens == one.usage.prompt_tokens
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens
    assert three.usage.total_tokens == three.usage.prompt_tokens + three.usage.completion_tokens


@pytest.mark.parametrize("seed", [None, 7])
def test_drawn_choices_differ_with_a_seed_and_without(client: openai.OpenAI, seed: int | None) -> None:
    answer = client.completions.create(model=BASE, prompt="The sea is", max_tokens=16, n=3, seed=seed)
    assert len({choice.text for choice in answer.choices}) == 3


def test_streamed_choices_come_together_and_make_the_same_answer(client: openai.OpenAI) -> None:
    whole = chat(client, temperature=0, n=3)
    chunks = list(chat(client, temperature=0, n=3, stream=True, stream_options={"include_usage": True}))
    *pieces, last = chunks
    assert not last.choices
    for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(last.usage, count) == getattr(whole.usage, count)
    assert all(chunk.usage is None for chunk in pieces)
    assert len({chunk.id for chunk in chunks}) == 1
    choices = [choice for chunk in pieces for choice in chunk.choices]
    for index in range(3):
        own = [choice for choice in choices if choice.index == index]
        assert [choice.delta.role for choice in own] == ["assistant"] + [None] * (len(own) - 1)
        assert "".join(choice.delta.content or "" for choice in own) == texts_of(whole)[index]
        assert [choice.finish_reason for choice in own] == [None] * (len(own) - 1) + ["stop"]
    ends = [place for place, choice in enumerate(choices) if choice.finish_reason]
    assert {choice.index for choice in choices[: ends[0]]} == {0, 1, 2}


async def test_the_async_client_gets_each_choice_too(server: ServerProcess) -> None:
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as client:
        options: dict[str, Any] = {"model": BASE, "prompt": "1, 2, 3, 4,", "max_tokens": 8, "temperature": 0, "n": 3}
        whole = await client.completions.create(**options)
        texts = ["", "", ""]
        reasons: Counter[int] = Counter()
        async for chunk in await client.completions.create(**options, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.text
                reasons[choice.index] += choice.finish_reason is not None
    assert texts == [choice.text for choice in whole.choices]
    assert len(set(texts)) == 1
    assert reasons == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize(
    "prompts", [["1, 2, 3, 4,", "a b c d e f"], [[2, 818, 5279, 529, 7001, 563], [2, 1, 2, 1, 2, 1]]]
)
def test_each_prompt_of_a_batch_gets_its_choices_in_order(client: openai.OpenAI, prompts: list[Any]) -> None:
    def ask(prompt: Any, n: int) -> Any:
        return client.completions.create(model=BASE, prompt=prompt, max_tokens=3, temperature=0, n=n)

    alone = [ask(prompt, 1) for prompt in prompts]
    together = ask(prompts, 2)
    assert [choice.index for choice in together.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in together.choices] == [one.choices[0].text for one in alone for _ in range(2)]
    assert alone[0].choices[0].text != alone[1].choices[0].text
    for name, times in (("prompt_tokens", 1), ("completion_tokens", 2)):
        assert getattr(together.usage, name) == times * sum(getattr(one.usage, name) for one in alone)


BAD_BATCHES: dict[str, tuple[Any, str, str]] = {
    "no prompts": ([], "empty", "prompt"),
    "an empty prompt": (["a", ""], "empty", "prompt"),
    "no tokens": ([[1], []], "empty", "prompt"),
    "text among tokens": ([1, "a"], "valid integer", "prompt[1]"),
    "a token among texts": (["a", 1], "valid", "prompt[0]"),
    "too many": (["a"] * 33, "at most 64", "prompt"),
}


@pytest.mark.parametrize("case", BAD_BATCHES)
def test_a_batch_that_cannot_be_answered_is_a_400_that_names_the_prompt(http: httpx.Client, case: str) -> None:
    prompt, words, param = BAD_BATCHES[case]
    response = http.post("/v1/completions", json={"model": CHAT, "prompt": prompt, "n": 2})
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]
    assert response.json()["error"]["param"] == param


def test_an_idle_server_takes_the_largest_request_that_is_allowed(client: openai.OpenAI) -> None:
    prompts = [f"{number}," for number in range(ChoiceLimits.max_choices)]
    answer = client.completions.create(model=BASE, prompt=prompts, max_tokens=1)
    assert len(answer.choices) == len(prompts)
    assert ChoiceLimits.max_choices <= EngineConfig.max_waiting


# An engine that can be looked into


class Dice(ScriptedDecoder):
    """All letters from "a" to "y" are equally likely, so that the seed alone decides."""

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        logits = super().forward(chunks, adapter)
        logits[:] = 0
        logits[:, ord("a") + 1 : ord("z") + 1] = 50
        return logits


class OneModel:
    """A `Loader` of a model that a scripted decoder stands for."""

    def __init__(self, client: InProcessClient) -> None:
        self.client = client

    def read(self, name: str) -> ModelCard:
        return ModelCard(ModelFile(name, Path(name), None, "path", None), Header.__new__(Header))

    def plan(self, card: ModelCard, *, spare_bytes: int = 0) -> Plan:
        return PLAN

    def start(self, card: ModelCard, plan: Plan, progress: Callable[[float], bool]) -> Model:
        return Model(card, plan, self.client)

    def adapters(self, name: str) -> tuple[str, ...]:
        return ()

    def attach(self, model: Model, adapter: str) -> None:
        raise AdapterNotFound(adapter)


def count_up(tokens: list[int]) -> int:
    return tokens[-1] % 256 + 1


@asynccontextmanager
async def endpoint_over(client: InProcessClient) -> AsyncIterator[httpx.AsyncClient]:
    pool = ModelPool(["scripted"], OneModel(client))
    transport = httpx.ASGITransport(create_app(pool, ServerConfig()))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http
    await pool.close()


async def until_idle(client: Any) -> None:
    async with asyncio.timeout(20):
        while client.idle_seconds is None:
            await asyncio.sleep(0.01)


async def test_choices_of_one_seed_differ_and_repeat_and_each_can_be_had_alone(
    make_client: Callable[..., InProcessClient],
) -> None:
    async with endpoint_over(make_client(Dice(count_up))) as http:

        async def ask(seed: int, n: int = 1, **more: Any) -> list[str]:
            body = {"prompt": "a", "seed": seed, "n": n} | more
            answer = (await http.post("/v1/completions", json=body)).json()
            return [choice["text"] for choice in answer["choices"]]

        first = await ask(7, n=3)
        assert len(set(first)) == 3
        assert await ask(7, n=3) == first
        assert [await ask(seed) for seed in (7, 8, 9)] == [[text] for text in first]
        # They go on over the prompts of a batch, and go round at the end of their range.
        assert await ask(7, prompt=["b", "c", "d"]) == first
        assert (await ask(2**64 - 1, n=2))[1:] == await ask(0)


async def test_a_prompt_is_computed_once_for_all_its_choices(make_client: Callable[..., InProcessClient]) -> None:
    decoder = ScriptedDecoder(count_up, context_length=512, num_cells=2048)
    prompt = "a" * 200
    async with endpoint_over(make_client(decoder)) as http:
        body = {"prompt": prompt, "n": 4, "max_tokens": 3, "temperature": 0}
        answer = (await http.post("/v1/completions", json=body)).json()
        again = (await http.post("/v1/completions", json=body)).json()
    assert [choice["text"] for choice in answer["choices"]] == ["bcd"] * 4
    # The first choice of the first request found nothing; that the others did is no business of the caller's.
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert again["usage"]["prompt_tokens_details"] == {"cached_tokens": 199}
    assert sum(len(chunk.tokens) for step in decoder.steps for chunk in step) < 2 * len(prompt)


@pytest.mark.parametrize("stream", [False, True])
async def test_where_the_queue_is_full_for_one_choice_all_are_refused_and_taken_back(
    make_client: Callable[..., InProcessClient], stream: bool
) -> None:
    client = make_client(ScriptedDecoder(count_up, context_length=MANY, num_cells=MANY), max_waiting=4)
    body = {"prompt": "a", "n": 16, "max_tokens": MANY // 100, "stream": stream}
    async with endpoint_over(client) as http:
        refused = await http.post("/v1/completions", json=body)
        await until_idle(client)
        answered = await http.post("/v1/completions", json=body | {"n": 4, "max_tokens": 1, "stream": False})
    assert "queue_full" in refused.text
    assert "[DONE]" not in refused.text
    if not stream:
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert answered.status_code == 200


async def test_a_choice_that_fails_fails_the_request_and_takes_the_others_back(
    make_client: Callable[..., InProcessClient],
) -> None:
    client = make_client(ScriptedDecoder(count_up, context_length=MANY, num_cells=MANY))
    async with endpoint_over(client) as http:
        body = {"prompt": ["a", "b" * 100], "max_tokens": MANY - 50}
        refused = await http.post("/v1/completions", json=body)
        await until_idle(client)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_client_goes_all_choices_are_taken_back(tmp_path: Path, stream: bool) -> None:
    tiny = write_tiny_gguf(tmp_path / "tiny.gguf", context_length=16_000)
    async with local_endpoint({"tiny": tiny}, limits=EngineConfig(max_context=16_000)) as endpoint:
        client = (await endpoint.pool.get("tiny")).client
        body = {"prompt": "Once", "n": 4, "max_tokens": 9000, "stream": stream, "logit_bias": {"2": -100}}
        before = len(asyncio.all_tasks())

        async def ask() -> None:
            async with endpoint.http.stream("POST", "/v1/completions", json=body) as response:
                async for _ in response.aiter_lines():
                    pass

        asking = asyncio.create_task(ask())
        async with asyncio.timeout(20):
            while not client.statistics.num_running:
                await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait({asking})
        async with asyncio.timeout(1):
            await until_idle(client)
        async with asyncio.timeout(1):
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.01)
