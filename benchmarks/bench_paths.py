"""The hot paths, one at a time: what happens around the model for each request, step, token or tensor.

`scripts/bench-paths` runs them with the clock of `reference.py` and holds them against the saved baseline.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import gguf
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.compare_constrained import SCHEMA
from benchmarks.load import passage
from converters.gguf.encode import encoded
from runtime.backends.base import Chunk, Logits, RowDecoder, SourceEncoder
from runtime.backends.llama.model import LlamaModel
from runtime.card import ModelCard
from runtime.chat.template import Message
from runtime.engine.constraints import Constraint, ConstraintCompiler, restrict_rows
from runtime.engine.engine import Engine
from runtime.engine.frames import FrameParser, to_frame
from runtime.engine.messages import Delta, Event, Generate
from runtime.engine.packing import decode_event, encode
from runtime.engine.prefix import KVCache
from runtime.engine.sampling import Sampler, SamplingParams
from runtime.models.store import Store
from runtime.text.stream import TextStream
from runtime.text.tokenizer import Tokenizer

SMALL, LARGE = "smollm2-135m-instruct", "gemma-3-270m"
BATCH = 8
TEXTS = {
    "English": passage(400, 1),
    "Bulgarian": "Всички хора се раждат свободни и равни по достойнство и права. " * 40,
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ " * 40,
}


class NoModel:
    """A decoder that computes nothing: what is left of a step is ours."""

    sources: SourceEncoder | None = None
    rows: RowDecoder | None = None
    state_format: str | None = None
    context_length = num_cells = 1 << 16
    batch_size = 512
    max_sequences = BATCH
    num_slots = 2 * BATCH

    def __init__(self, vocabulary_size: int) -> None:
        self.vocabulary_size = vocabulary_size
        self._logits = np.random.default_rng(0).standard_normal((BATCH, vocabulary_size)).astype(np.float32)

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:  # noqa: ARG002  # the Protocol's
        """The same rows each time."""
        return self._logits[: sum(chunk.num_logits for chunk in chunks)]

    def share(self, source: int, slot: int, count: int) -> None:
        """Nothing is there."""

    def truncate(self, slot: int, count: int) -> None:
        """Nothing is there."""

    def save(self, slot: int, start: int) -> bytes:  # noqa: ARG002  # as above
        """Nothing is there."""
        return b""

    def restore(self, slot: int, start: int, state: bytes) -> None:
        """Nothing is there."""

    def forget(self, slot: int) -> None:
        """Nothing is there."""

    def attach(self, adapter: str, path: Path) -> None:
        """Nothing is there."""

    def close(self) -> None:
        """Nothing is there."""


@cache
def card_of(name: str) -> ModelCard:
    """A starter's card."""
    return ModelCard.read(Store().resolve(name))


@cache
def tokenizer_of(name: str) -> Tokenizer:
    """A starter's tokenizer; its weights are mapped, not read."""
    return LlamaModel(card_of(name).file.path).tokenizer


def rows_of_logits(vocabulary_size: int) -> Logits:
    """Rows as a model gives them: a few tokens stand out."""
    return np.random.default_rng(1).gumbel(0, 3, (BATCH, vocabulary_size)).astype(np.float32)


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("model", [SMALL, LARGE])
def test_tokenize(benchmark: BenchmarkFixture, model: str, language: str) -> None:
    """A text of a few thousand characters to tokens."""
    tokenizer = tokenizer_of(model)
    tokens = benchmark(tokenizer.encode, TEXTS[language], parse_special=False)
    assert tokens


@pytest.mark.parametrize("language", TEXTS)
def test_detokenize_a_stream(benchmark: BenchmarkFixture, language: str) -> None:
    """256 tokens to text, one at a time, whole grapheme clusters only, with a stop string in mind."""
    tokenizer = tokenizer_of(LARGE)
    pieces = [tokenizer.token_bytes(token) for token in tokenizer.encode(TEXTS[language], parse_special=False)][:256]

    def stream() -> int:
        text = TextStream(("</answer>",))
        return sum(len(text.push(piece)) for piece in pieces) + len(text.finish())

    assert benchmark(stream) > 256


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0),
        SamplingParams(top_k=40, seed=1),
        SamplingParams(top_p=0.95, seed=1),
        SamplingParams(min_p=0.05, seed=1),
        SamplingParams(repetition_penalty=1.1, temperature=0),
    ],
    ids=["greedy", "top-k", "top-p", "min-p", "repetition"],
)
def test_sample(benchmark: BenchmarkFixture, params: SamplingParams) -> None:
    """A token of a row of 262,144 logits."""
    row = rows_of_logits(262_144)[0]
    sampler = Sampler(params, tuple(range(64)))
    benchmark(lambda: sampler.sample(row.copy(), None))


def test_mask(benchmark: BenchmarkFixture) -> None:
    """Leave of a row of 262,144 logits what a JSON schema allows next."""
    matcher = ConstraintCompiler(tokenizer_of(LARGE)).compile(Constraint("json_schema", json.dumps(SCHEMA)))
    row = rows_of_logits(262_144)[0]
    [allowed] = benchmark(lambda: restrict_rows([(matcher, row.copy())]))
    assert allowed is None or len(allowed)


def test_compile_a_schema(benchmark: BenchmarkFixture) -> None:
    """A JSON schema of six keys to a matcher."""
    compiler = ConstraintCompiler(tokenizer_of(LARGE))
    compiler.compile(Constraint("choice", '["a", "b"]'))  # the vocabulary is made ready once a model
    constraint = Constraint("json_schema", json.dumps(SCHEMA))
    assert benchmark(compiler.compile, constraint)


def test_step(benchmark: BenchmarkFixture) -> None:
    """A step of eight sequences: schedule, sample, text, events; all but the model."""
    tokenizer = tokenizer_of(SMALL)
    events: list[Event] = []

    def running() -> Engine:
        model = NoModel(tokenizer.vocabulary_size)
        engine = Engine(model, tokenizer, max_waiting=64, max_draft=0, emit=events.append, wake=lambda: None)
        for number in range(BATCH):
            prompt = passage(40, number)
            engine.generate(Generate(str(number), prompt, SamplingParams(temperature=0), 8000, stop=("\0",)))
        for _ in range(4):
            engine.step()
        return engine

    engine = running()

    def step() -> None:
        nonlocal engine
        if not engine.has_work:
            engine = running()
        engine.step()
        events.clear()

    benchmark(step)


def test_match_a_prefix(benchmark: BenchmarkFixture) -> None:
    """Find the longest beginning of 2,000 tokens among fifteen sequences that begin alike."""
    cache = KVCache(NoModel(1000))
    shared = list(range(1000))
    for number in range(15):
        slot, _ = cache.open(None, None)
        cache.extend(slot, [*shared[: 60 * number], *([5000 + number] * 500)])
    match = benchmark(cache.match, [*shared, *range(2000, 3000)], None)
    assert match is not None and match.length == 60 * 14


def test_encode_messages(benchmark: BenchmarkFixture) -> None:
    """A piece of text from a worker to its client: encoded, framed, read, decoded."""
    delta = Delta("a5b0c0f9", "Добро утро", ())

    def there_and_back() -> Iterator[bytes]:
        return FrameParser().feed(to_frame(encode(delta)))

    assert benchmark(lambda: [decode_event(frame) for frame in there_and_back()]) == [delta]


def test_render_a_template(benchmark: BenchmarkFixture) -> None:
    """A conversation of nine messages to a prompt."""
    template = card_of(SMALL).template
    turns = [Message("user" if number % 2 == 0 else "assistant", TEXTS["English"][:400]) for number in range(9)]
    assert benchmark(template.render, turns)


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_convert_rows(benchmark: BenchmarkFixture, kind: str) -> None:
    """Four million weights to a type of GGUF."""
    values = np.random.default_rng(0).standard_normal((1024, 4096)).astype(np.float32)
    assert len(benchmark(encoded, values, gguf.GGMLQuantizationType[kind], "weight")) == 1024
