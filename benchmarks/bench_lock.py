"""The language lock: what it keeps out, and what it costs. `scripts/bench -k lock` runs this and prints it.

Gemma 3 270M continues one prompt in each of eight languages at temperature 1: 104 samples free, softly locked and hard
locked, with the same seeds. Foreign is a character that a text in the language's script may not have, code fences left
out.
"""

from __future__ import annotations

import json
import queue
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import fingerprint
from runtime.backends.llama.model import LlamaModel
from runtime.engine.client import EngineClient
from runtime.engine.messages import Delta, Event, Failed, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.language.codes import parse
from runtime.language.lock import Lock, LockMaker, LockMode
from runtime.language.scripts import foreign_characters, to_scripts
from runtime.model import Model, load
from runtime.text.vocabulary import Vocabulary

MODEL = "gemma-3-270m"
PROMPTS = {
    "bul": "В малкото планинско село живееше",
    "ell": "Στο μικρό χωριό του βουνού ζούσε",
    "hin": "पहाड़ के छोटे से गाँव में रहता था",
    "tha": "ในหมู่บ้านเล็ก ๆ บนภูเขามี",
    "arb": "في القرية الجبلية الصغيرة كان يعيش",
    "jpn": "山の小さな村に住んでいたのは",
    "kor": "산속의 작은 마을에 살던",
    "kat": "მთის პატარა სოფელში ცხოვრობდა",
}
NUM_SAMPLES, NUM_TOKENS = 13, 32
MOST_AT_A_TIME = 32
RESULTS = Path(__file__).parent / "results"
MODES: tuple[LockMode | None, ...] = (None, "soft", "hard")
_FENCED = regex.compile(r"(?ms)^ {0,3}(`{3,}|~{3,}).*?(^ {0,3}\1[`~]*\s*$|\Z)")


@pytest.mark.timeout(1200)
def test_the_language_lock(benchmark: BenchmarkFixture) -> None:
    """Measure all modes in the same run, and keep the figures."""
    result: dict[str, Any] = benchmark.pedantic(measure)  # type: ignore[no-untyped-call]  # pytest-benchmark's
    (RESULTS / "lock.json").write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    for name, row in result["languages"].items():
        print(name, {mode: figures["foreign"] for mode, figures in row.items()})
    print(result["total"], result["cost"])
    if result["total"]["hard"]["foreign"]:
        raise AssertionError("a hard lock let a foreign character through")


def measure() -> dict[str, Any]:
    """Samples in every language and mode, and the cost of a token."""
    with load(MODEL, context_length=512) as model:
        languages = {name: {mode or "free": _sample(model, name, mode) for mode in MODES} for name in PROMPTS}
        cost = _cost(model)
    totals = {mode: _total([row[mode] for row in languages.values()]) for mode in ("free", "soft", "hard")}
    return {
        "model": MODEL,
        "temperature": 1.0,
        "samples": NUM_SAMPLES * len(PROMPTS),
        "tokens_a_sample": NUM_TOKENS,
        "languages": languages,
        "total": totals,
        "cost": cost,
        "machine": fingerprint(),
    }


def _sample(model: Model, name: str, mode: LockMode | None) -> dict[str, Any]:
    scripts = to_scripts([parse(name).script])
    lock = None if mode is None else Lock(scripts, mode)
    requests = [
        Generate(f"{name}-{mode}-{seed}", PROMPTS[name], SamplingParams(seed=seed), NUM_TOKENS, lock=lock)
        for seed in range(NUM_SAMPLES)
    ]
    started = time.perf_counter()
    answers = _answers(model.client, requests)
    texts = [_FENCED.sub("", text) for text, _ in answers]
    foreign = [foreign_characters(text, scripts) for text in texts]
    return {
        "samples_with_foreign": sum(map(bool, foreign)),
        "foreign": sum(map(len, foreign)),
        "characters": sum(map(len, texts)),
        "blocked_tokens": sum(finished.usage.blocked_tokens for _, finished in answers),
        "tokens": sum(finished.usage.completion_tokens for _, finished in answers),
        "seconds": round(time.perf_counter() - started, 2),
        "example_of_foreign": next((text for text, found in zip(texts, foreign, strict=True) if found), None),
    }


def _answers(client: EngineClient, requests: list[Generate]) -> list[tuple[str, Finished]]:
    """The answers to all requests, which the engine computes in batches, as many at a time as may wait."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    texts = {request.request_id: "" for request in requests}
    done: dict[str, Finished] = {}
    waiting = list(requests)
    for request in waiting[:MOST_AT_A_TIME]:
        client.submit(request, events.put)
    del waiting[:MOST_AT_A_TIME]
    while len(done) < len(requests):
        match events.get():
            case Delta(request_id=name, text=text):
                texts[name] += text
            case Finished() as finished:
                done[finished.request_id] = finished
                if waiting:
                    client.submit(waiting.pop(0), events.put)
            case Failed(error=error):
                raise error
    return [(texts[request.request_id], done[request.request_id]) for request in requests]


def _total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("samples_with_foreign", "foreign", "characters", "blocked_tokens", "tokens", "seconds")
    return {name: round(sum(row[name] for row in rows), 2) for name in names}


def _cost(model: Model) -> dict[str, float]:
    """What a token of one free sequence takes, and what the lock adds to it; what reading and the first mask take."""
    steps = []
    for seed in range(5):
        request = Generate(f"cost-{seed}", PROMPTS["bul"], SamplingParams(seed=seed), NUM_TOKENS)
        [(_, finished)] = _answers(model.client, [request])
        steps.append(finished.timings.decode / (finished.usage.completion_tokens - 1) * 1e6)
    loaded = LlamaModel(model.card.file.path, gpu_layers=0, progress=None)
    try:
        started = time.perf_counter()
        vocabulary = Vocabulary(loaded.tokenizer)
        read = time.perf_counter() - started
        maker = LockMaker(vocabulary)
        lock = maker.make(Lock(("Cyrl",), "hard"))
        built = time.perf_counter() - started - read
        random = np.random.default_rng(0)
        row = random.normal(size=len(vocabulary.pieces)).astype(np.float32)
        token = vocabulary.pieces.index("а".encode())
        lock.restrict(row.copy())
        times = []
        for _ in range(300):
            fresh = row.copy()
            started = time.perf_counter()
            lock.restrict(fresh)
            lock.accept(token, vocabulary.pieces[token])
            times.append((time.perf_counter() - started) * 1e6)
    finally:
        loaded.close()
    token_us, step_us = statistics.median(times), statistics.median(steps)
    return {
        "step_us": round(step_us, 1),
        "lock_us_a_token": round(token_us, 1),
        "share_of_a_step": round(token_us / step_us, 4),
        "vocabulary_ms": round(read * 1e3, 1),
        "first_mask_ms": round(built * 1e3, 1),
    }
