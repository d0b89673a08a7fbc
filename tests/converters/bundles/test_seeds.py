"""What the seeds S4 and S28 ask of many adapters on one base: each is what PEFT computes, whatever runs beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from openai import OpenAI

from converters.bundles.pack import Request, pack
from converters.convert import Request as ConvertRequest
from converters.convert import convert
from runtime.models.files import NoProgress
from runtime.models.store import Store
from tests.converters.families import Families
from tests.server import ServerProcess, serving
from tests.tiny.adapters import save_adapter

LANGUAGES = ("mkd", "swh", "khm")
PROMPTS = [np.random.default_rng(seed).integers(3, 200, 9).tolist() for seed in range(3)]
NUM_TOKENS = 12


@dataclass(frozen=True)
class Served:
    """A server with a base and three bundles on it, and what PEFT and transformers compute."""

    server: ServerProcess
    client: OpenAI
    peft: dict[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def served(families: Families, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    family, folder = families["llama"], tmp_path_factory.mktemp("seeds")
    base = folder / "base.gguf"
    base.write_bytes(family.converted.path.read_bytes())
    peft: dict[str, Any] = {"base": family.model}
    for seed, language in enumerate(LANGUAGES):
        peft[f"base:{language}"] = peft[language] = save_adapter(
            folder / language, family.model, targets=("q_proj", "v_proj", "up_proj"), seed=seed
        )
        lora = convert(ConvertRequest(str(folder / language), folder / f"{language}.gguf", base=str(family.folder)))
        request = Request(
            str(base), folder / f"{language}.bundle.json", language, adapter=lora.path, options={"temperature": 0.0}
        )
        pack(request, Store(folder / "store"), NoProgress())
    bundles = [str(folder / f"{language}.bundle.json") for language in LANGUAGES]
    tasks = [text for name in LANGUAGES for text in ("--adapter", f"base:{name}={folder / name}.gguf")]
    with serving(str(base), *bundles, *tasks) as server:
        client = OpenAI(base_url=server.base_url, api_key="unused", max_retries=0)
        yield Served(server, client, peft, folder)


def logprobs(client: OpenAI, model: str, prompt: list[int]) -> list[float]:
    """The logprob of each token of a greedy answer."""
    answer = client.completions.create(model=model, prompt=prompt, max_tokens=NUM_TOKENS, temperature=0, logprobs=0)
    assert answer.model == model and answer.choices[0].logprobs is not None
    return list(answer.choices[0].logprobs.token_logprobs or ())


def of_transformers(model: Any, prompt: list[int], count: int) -> list[float]:
    """The same of transformers."""
    tokens, found = list(prompt), []
    for _ in range(count):
        with torch.no_grad():
            row = model(input_ids=torch.tensor([tokens])).logits[0, -1].float().log_softmax(-1)
        tokens.append(int(row.argmax()))
        found.append(float(row.max()))
    return found


def test_s4_an_answer_with_each_adapter_is_that_of_peft_and_without_one_that_of_the_base(served: Served) -> None:
    for model, prompt in itertools.product(("base", *LANGUAGES), PROMPTS):
        ours = logprobs(served.client, model, prompt)
        assert len(ours) >= 4
        assert ours == pytest.approx(of_transformers(served.peft[model], prompt, len(ours)), abs=2e-2), model


def test_s4_adapters_that_alternate_or_run_at_once_do_not_touch_each_other(served: Served) -> None:
    asked = list(itertools.product(PROMPTS, ("base", *LANGUAGES)))
    alone = {(model, tuple(prompt)): logprobs(served.client, model, prompt) for prompt, model in asked}
    assert len({tuple(alone[model, tuple(PROMPTS[0])]) for model in ("base", *LANGUAGES)}) == 4
    alternating = [logprobs(served.client, model, prompt) for prompt, model in asked]
    with ThreadPoolExecutor(8) as threads:
        concurrent = list(threads.map(lambda each: logprobs(served.client, each[1], each[0]), asked))
    for (prompt, model), one, other in zip(asked, alternating, concurrent, strict=True):
        assert one == pytest.approx(alone[model, tuple(prompt)], abs=1e-4)
        assert other == pytest.approx(alone[model, tuple(prompt)], abs=1e-4)


def test_s4_the_memory_of_the_base_is_told_once_and_that_of_its_adapters_beside_it(served: Served) -> None:
    logprobs(served.client, "mkd", PROMPTS[0])
    lines = httpx.get(f"{served.server.url}/metrics").text.splitlines()
    memory = [line for line in lines if line.startswith("demotic_worker_resident_memory_bytes")]
    (adapters,) = [line for line in lines if line.startswith("demotic_adapter_bytes")]
    assert len(memory) == 1 and 'model="base"' in memory[0]
    base = (served.folder / "base.gguf").stat().st_size
    assert 0 < float(adapters.split()[1]) < base


def test_s28_every_task_is_listed_and_answers_under_base_and_task(served: Served) -> None:
    listed = {model.id for model in served.client.models.list()}
    assert listed == {"base", *LANGUAGES, *(f"base:{language}" for language in LANGUAGES)}
    for language, prompt in itertools.product(LANGUAGES, PROMPTS[:2]):
        ours = logprobs(served.client, f"base:{language}", prompt)
        assert ours == pytest.approx(of_transformers(served.peft[language], prompt, len(ours)), abs=2e-2)
        assert ours == pytest.approx(logprobs(served.client, language, prompt), abs=1e-4)
