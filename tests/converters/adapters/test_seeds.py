"""One base with an adapter for each language, and one for each task, chosen by each request."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from openai import OpenAI

from converters.convert import Request, convert
from converters.served import ServedModel
from tests.converters.families import Families
from tests.server import serving
from tests.tiny.adapters import save_adapter

NAMES = ("gle", "mkd", "swh")
PROMPT = "the world and the working"
NUM_TOKENS = 12


@pytest.fixture(scope="module")
def adapted(families: Families, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with three adapters as GGUF, and what PEFT computes with each."""
    family, folder = families["llama"], tmp_path_factory.mktemp("adapters")
    models = {}
    for seed, name in enumerate(NAMES):
        models[name] = save_adapter(folder / name, family.model, targets=("q_proj", "v_proj"), seed=seed)
        convert(Request(str(folder / name), folder / f"{name}.gguf", base=str(family.folder)))
    return folder, models


@pytest.fixture(scope="module")
def client(families: Families, adapted: tuple[Path, dict[str, Any]]) -> Iterator[OpenAI]:
    with serving(str(families["llama"].converted.path), "--adapter-dir", str(adapted[0])) as server:
        yield OpenAI(base_url=server.base_url, api_key="unused", max_retries=0)


def wanted(gguf: Path, model: Any) -> str:
    """The greedy text of a model of transformers."""
    with closing(ServedModel(gguf)) as opened:
        tokens = opened.encode(PROMPT)
        found: list[int] = []
        with torch.no_grad():
            while len(found) < NUM_TOKENS:
                token = int(model(input_ids=torch.tensor([[*tokens, *found]])).logits[0, -1].argmax())
                if opened.tokenizer.is_end(token):
                    break
                found.append(token)
        return opened.decode(found)


def answer(client: OpenAI, model: str) -> str:
    done = client.completions.create(model=model, prompt=PROMPT, max_tokens=NUM_TOKENS, temperature=0)
    return done.choices[0].text


def test_s4_each_request_is_answered_as_peft_does_with_its_adapter(
    families: Families, adapted: tuple[Path, dict[str, Any]], client: OpenAI
) -> None:
    family, (_, models) = families["llama"], adapted
    base = family.converted.path.stem
    texts = {f"{base}:{name}": wanted(family.converted.path, model) for name, model in models.items()}
    texts[base] = wanted(family.converted.path, family.model)
    assert len(set(texts.values())) == 4
    assert {name: answer(client, name) for name in texts} == texts
    turns = list(texts) * 3
    assert [answer(client, name) for name in turns] == [texts[name] for name in turns]
    with ThreadPoolExecutor(len(turns)) as pool:
        assert list(pool.map(lambda name: answer(client, name), turns)) == [texts[name] for name in turns]


def test_s4_without_an_adapter_it_is_the_base_to_the_bit(
    families: Families, adapted: tuple[Path, dict[str, Any]]
) -> None:
    tokens = list(range(5, 45))
    with closing(ServedModel(families["llama"].converted.path)) as model:
        before = model.logits(tokens)
        model.attach([(adapted[0] / "mkd.gguf", 1.0)])
        model.adapt(is_adapted=True)
        assert not np.array_equal(model.logits(tokens), before)
        model.adapt(is_adapted=False)
        assert np.array_equal(model.logits(tokens), before)


def test_s28_an_adapter_for_each_task_is_listed_and_chosen_by_its_name(families: Families, client: OpenAI) -> None:
    base = families["llama"].converted.path.stem
    assert {base, *(f"{base}:{name}" for name in NAMES)} <= {model.id for model in client.models.list()}
    chosen = client.completions.create(
        model=base, prompt=PROMPT, max_tokens=NUM_TOKENS, temperature=0,
        extra_body={"adapter": "gle"},
    )  # fmt: skip
    assert chosen.choices[0].text == answer(client, f"{base}:gle") != answer(client, base)
