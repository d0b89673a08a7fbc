"""Sampling: the share of an engine's step, at batch 8 and a vocabulary of 262,144 entries, that is not llama.cpp's.

All that the engine does between two computations of the model counts: choosing what to compute, sampling, text,
events. Ways of sampling take turns, each over the same prompts. `scripts/bench -k sampling` runs this and prints it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.load import passage
from benchmarks.machine import fingerprint
from runtime.backends.base import Chunk, Decoder, Logits
from runtime.backends.load import LoadedDecoder, load_decoder
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.engine.engine import Engine
from runtime.engine.messages import Event, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.hardware.probe import probe
from runtime.models.store import Store

MODEL = "gemma-3-270m"
BATCH = 8
NUM_STEPS = 48
ROUNDS = 5
WANTED = 0.05
RESULTS = Path(__file__).parent / "results"
WAYS = {
    "greedy": SamplingParams(temperature=0),
    "top-k 40": SamplingParams(top_k=40),
    "top-p 0.95": SamplingParams(top_p=0.95),
    "top-k 40, top-p 0.95": SamplingParams(top_k=40, top_p=0.95),
    "min-p 0.05": SamplingParams(min_p=0.05),
    "temperature 0.8": SamplingParams(temperature=0.8),
    "temperature 1": SamplingParams(),
}


class TimedDecoder:
    """A decoder whose computing is timed; all else is the decoder's own."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.seconds = 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._decoder, name)

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        """See `Decoder.forward`."""
        started = time.perf_counter()
        logits = self._decoder.forward(chunks, adapter)
        self.seconds += time.perf_counter() - started
        return logits


@pytest.mark.timeout(900)
def test_what_sampling_takes_of_a_step(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """At most 5 % with each of the ways that people use."""
    file = Store().resolve(MODEL)
    card = ModelCard.read(file)
    loaded = load_decoder(file.path, card.plan(probe(), EngineConfig(max_context=2048)))
    rounds: list[dict[str, tuple[float, float]]] = benchmark.pedantic(  # type: ignore[no-untyped-call]  # pytest-benchmark's
        lambda: [{name: one_way(loaded, WAYS[name], seed) for name in turn(seed)} for seed in range(ROUNDS)]
    )
    loaded.close()
    ways = {name: summary([one[name] for one in rounds]) for name in WAYS}
    result = {
        "what": f"{MODEL}, {BATCH} sequences at once, {NUM_STEPS} steps, medians of {ROUNDS} rounds",
        "wanted_share_at_most": WANTED,
        "ways": ways,
        "machine": fingerprint(),
    }
    (RESULTS / "sampling.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        for name, figures in ways.items():
            print(f"\n{name}: {figures}", end="")


def turn(seed: int) -> list[str]:
    """The ways in the order of a round: every round begins with another one."""
    names = list(WAYS)
    return names[seed % len(names) :] + names[: seed % len(names)]


def one_way(loaded: LoadedDecoder, sampling: SamplingParams, seed: int) -> tuple[float, float]:
    """Milliseconds a step, and of these what is not the decoder's, once all prompts are read."""
    decoder = TimedDecoder(loaded.decoder)
    for slot in range(loaded.decoder.num_slots):  # kept there for an engine that is no more
        loaded.decoder.forget(slot)
    events: list[Event] = []
    engine = Engine(decoder, loaded.tokenizer, max_waiting=BATCH, emit=events.append)  # type: ignore[arg-type]  # the rest of the Protocol is passed on
    prompts = [passage(20, seed * BATCH + number) for number in range(BATCH)]
    # An answer that ended would make the batch smaller.
    bias = {token: -100.0 for token in range(loaded.tokenizer.vocabulary_size) if loaded.tokenizer.is_end(token)}
    for number, prompt in enumerate(prompts):
        one = msgspec.structs.replace(sampling, logit_bias=bias, seed=number)
        engine.generate(Generate(f"{number}", prompt, one, max_tokens=NUM_STEPS + 1))
    engine.step()
    decoder.seconds = 0.0
    started, num_steps = time.perf_counter(), 0
    while engine.has_work:
        engine.step()
        num_steps += 1
    seconds = time.perf_counter() - started
    engine.close()
    if sum(isinstance(event, Finished) and event.reason == "length" for event in events) != BATCH:
        raise AssertionError("an answer ended early, so the batch was not full")
    return seconds / num_steps * 1000, (seconds - decoder.seconds) / num_steps * 1000


def summary(rounds: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Medians over the rounds."""
    return {
        "step_ms": round(statistics.median(step for step, _ in rounds), 2),
        "outside_ms": round(statistics.median(outside for _, outside in rounds), 2),
        "share": round(statistics.median(outside / step for step, outside in rounds), 4),
    }
