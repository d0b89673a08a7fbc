"""Guessing ahead: greedy answers with guesses and without, in turns, one request at a time, and four and eight at once.

`scripts/bench -k speculation` runs this and prints the result.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.load import passage
from benchmarks.machine import fingerprint
from benchmarks.report import table
from runtime.backends.load import LoadedDecoder, load_decoder
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.engine.engine import Engine
from runtime.engine.messages import Event, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.hardware.probe import probe
from runtime.models.store import Store

ROUNDS = 3
MAX_TOKENS = 120
RESULTS = Path(__file__).parent / "results"
GEMMA, SMOLLM = "gemma-3-270m", "smollm2-135m-instruct"
GREEDY = SamplingParams(temperature=0)
FUNCTIONS = '''def area_of_square(side: float) -> float:
    """Area of a square."""
    if side < 0:
        raise ValueError("side must not be negative")
    return side * side


def area_of_circle(radius: float) -> float:
    """Area of a circle."""
    if radius < 0:
        raise ValueError("radius must not be negative")
    return 3.14159 * radius * radius


def area_of_rectangle(width: float, height: float) -> float:
'''


class Task(NamedTuple):
    """What a model is asked: once, or with each of several prompts at the same time."""

    model: str
    what: str
    prompts: tuple[str, ...]


TASKS = (
    Task(GEMMA, "a passage, and 'The same text again:'", (f"{passage(60, 1)}.\n\nThe same text again:\n\n",)),
    Task(GEMMA, "Érase una vez una niña que", ("Érase una vez una niña que",)),
    Task(GEMMA, "two Python functions, and the third to write", (FUNCTIONS,)),
    Task(GEMMA, "Столица Болгарии -", ("Столица Болгарии -",)),
    Task(GEMMA, "four beginnings of stories at once", tuple(passage(44, seed) for seed in range(2, 6))),
    Task(GEMMA, "eight beginnings of stories at once", tuple(passage(44, seed) for seed in range(2, 10))),
    Task(
        SMOLLM,
        "Repeat the following text word for word",
        (f"Repeat the following text word for word: {passage(50, 7)}",),
    ),
    Task(SMOLLM, "Write a JSON list of ten colours", ("Write a JSON list of ten colours with name and hex code.",)),
    Task(SMOLLM, "Tell me a story about a fox.", ("Tell me a story about a fox.",)),
)


class Run(NamedTuple):
    """One task done once."""

    tokens_per_second: float
    drafted: int
    accepted: int


@pytest.mark.timeout(900)
def test_answers_with_and_without_guesses(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """What repeats itself should gain; nothing should lose more than a few per cent."""
    rows = benchmark.pedantic(lambda: [row for model in (GEMMA, SMOLLM) for row in rows_of(model)])  # type: ignore[no-untyped-call]  # pytest-benchmark's
    result = {
        "what": f"greedy, {MAX_TOKENS} tokens at most, medians of {ROUNDS} rounds; tokens are of all answers together",
        "rows": rows,
        "machine": fingerprint(),
    }
    (RESULTS / "speculation.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with capsys.disabled():
        print("\n" + table(list(rows[0]), [[str(value) for value in row.values()] for row in rows]))


def rows_of(model: str) -> list[dict[str, object]]:
    """The figures of the tasks of one model."""
    file = Store().resolve(model)
    card = ModelCard.read(file)
    loaded = load_decoder(file.path, card.plan(probe(), EngineConfig(max_context=2048)))
    rows: list[dict[str, object]] = []
    for task in (task for task in TASKS if task.model == model):
        prompts = [card.chat_request(one).prompt if card.is_chat else one for one in task.prompts]
        runs: dict[int, list[Run]] = {0: [], EngineConfig().max_draft: []}
        for number in range(ROUNDS):
            for max_draft in list(runs) if number % 2 == 0 else list(runs)[::-1]:
                runs[max_draft].append(answer(loaded, [str(prompt) for prompt in prompts], max_draft))
        without, with_guesses = runs.values()
        rows.append(
            {
                "model": model,
                "prompt": task.what,
                "tokens/s without": round(statistics.median(run.tokens_per_second for run in without), 1),
                "with": round(statistics.median(run.tokens_per_second for run in with_guesses), 1),
                "ratio": round(
                    statistics.median(
                        one.tokens_per_second / other.tokens_per_second
                        for one, other in zip(with_guesses, without, strict=True)
                    ),
                    2,
                ),
                "guessed": round(statistics.median(run.drafted for run in with_guesses)),
                "right": round(statistics.median(run.accepted for run in with_guesses)),
            }
        )
    loaded.close()
    return rows


def answer(loaded: LoadedDecoder, prompts: list[str], max_draft: int) -> Run:
    """Answer all prompts at once."""
    for slot in range(loaded.decoder.num_slots):  # kept there for an engine that is no more
        loaded.decoder.forget(slot)
    events: list[Event] = []
    engine = Engine(loaded.decoder, loaded.tokenizer, max_waiting=len(prompts), max_draft=max_draft, emit=events.append)
    for prompt in prompts:
        engine.generate(Generate(prompt, prompt, GREEDY, MAX_TOKENS, parse_special=True))
    started = time.perf_counter()
    while engine.has_work:
        engine.step()
    seconds = time.perf_counter() - started
    engine.close()
    usages = [event.usage for event in events if isinstance(event, Finished)]
    return Run(
        sum(usage.completion_tokens for usage in usages) / seconds,
        sum(usage.drafted_tokens for usage in usages),
        sum(usage.accepted_tokens for usage in usages),
    )
