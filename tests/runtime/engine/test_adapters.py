"""Adapters beside each other: every request is answered as if its adapter were alone, and none waits for ever."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.backends.base import Chunk
from runtime.backends.load import LoadedDecoder, load_decoder
from runtime.config import EngineConfig
from runtime.engine.engine import Engine
from runtime.engine.messages import Delta, Event, Failed, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.errors import AdapterNotFound
from runtime.hardware.plan import plan
from runtime.hardware.probe import probe
from runtime.models.inspect import read_header
from tests.fakes.decoder import ByteTokenizer, ScriptedDecoder
from tests.tiny.gguf import write_tiny_gguf, write_tiny_lora

GREEDY = SamplingParams(temperature=0)
PROMPTS = {
    name: f"{'the world and the working ' * 3}{name}" for name in ("and", "the", "world", "in", "working", "ring")
}
ADAPTERS = (None, "north", "south")


def text_of(events: list[Event], name: str) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta) and event.request_id == name)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedDecoder]:
    """A float32 model with two adapters."""
    folder = tmp_path_factory.mktemp("adapters")
    base = write_tiny_gguf(folder / "base.gguf", context_length=512)
    # Not flash attention, which keeps float16 in between: equal means equal here.
    chosen = dataclasses.replace(
        plan(probe(), read_header(base).shape(), EngineConfig(max_context=512)), flash_attention=False
    )
    decoder = load_decoder(base, chosen)
    for seed, name in enumerate(("north", "south")):
        decoder.decoder.attach(name, write_tiny_lora(folder / f"{name}.gguf", base, seed=seed))
    yield decoder
    decoder.close()


def answers(loaded: LoadedDecoder, requests: list[Generate]) -> dict[str, str]:
    events: list[Event] = []
    engine = Engine(loaded.decoder, loaded.tokenizer, max_waiting=64, emit=events.append)
    for name in ("north", "south"):
        engine.attach(name, Path("there already"))
    for request in requests:
        engine.generate(request)
    while engine.has_work:
        engine.step()
    for slot in range(loaded.decoder.num_slots):
        loaded.decoder.forget(slot)
    assert sum(isinstance(event, Finished) for event in events) == len(requests)
    return {request.request_id: text_of(events, request.request_id) for request in requests}


def test_concurrent_requests_with_different_adapters_get_what_each_gets_alone(
    loaded: LoadedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded.decoder, "attach", lambda adapter, path: None)
    requests = [
        Generate(f"{word} with {adapter}", prompt, GREEDY, 24, adapter=adapter)
        for (word, prompt), adapter in itertools.product(PROMPTS.items(), ADAPTERS)
    ]
    together = answers(loaded, requests)
    alone: dict[str, str] = {}
    for request in requests:
        alone |= answers(loaded, [request])
    assert together == alone
    for word in PROMPTS:
        assert len({alone[f"{word} with {adapter}"] for adapter in ADAPTERS}) == 3, "the adapters change the answers"


def test_s4_without_an_adapter_the_base_is_computed_to_the_bit(loaded: LoadedDecoder, tmp_path: Path) -> None:
    base = write_tiny_gguf(tmp_path / "base.gguf", context_length=512)
    chosen = dataclasses.replace(
        plan(probe(), read_header(base).shape(), EngineConfig(max_context=512)), flash_attention=False
    )
    untouched = load_decoder(base, chosen)
    tokens = loaded.tokenizer.encode(PROMPTS["and"], parse_special=False)
    try:
        wanted = untouched.decoder.forward([Chunk(0, 0, tokens, len(tokens))]).copy()
    finally:
        untouched.close()
    for adapter in ("north", "south", None, "north", None):
        found = loaded.decoder.forward([Chunk(0, 0, tokens, len(tokens))], adapter).copy()
        loaded.decoder.forget(0)
        assert np.array_equal(found, wanted) == (adapter is None)


def test_a_step_has_one_adapter_and_turns_are_short() -> None:
    decoder = ScriptedDecoder(lambda tokens: tokens[-1] % 256 + 1, num_cells=1000, context_length=300)
    events: list[Event] = []
    engine = Engine(decoder, ByteTokenizer(), max_waiting=8, emit=events.append)
    for name in ("north", "south"):
        engine.attach(name, Path(name))
    for number, adapter in enumerate(("north", "north", None, "south")):
        engine.generate(Generate(f"{number}", f"{number}", GREEDY, 40, adapter=adapter))
    while engine.has_work:
        engine.step()
    turns = [(adapter, len(list(steps))) for adapter, steps in itertools.groupby(decoder.adapters)]
    assert [adapter for adapter, _ in turns[:6]] == ["north", None, "south"] * 2
    assert max(length for _, length in turns[:-1]) <= 4
    # Two sequences of one adapter share its steps.
    assert len(decoder.steps) == 3 * 40
    assert all(isinstance(event, Delta | Finished) for event in events)


def test_an_adapter_that_is_not_there_is_refused_by_name() -> None:
    events: list[Event] = []
    engine = Engine(ScriptedDecoder(lambda tokens: 1), ByteTokenizer(), max_waiting=8, emit=events.append)
    engine.attach("north", Path("north"))
    engine.generate(Generate("a", "x", GREEDY, 4, adapter="nort"))
    (event,) = events
    assert isinstance(event, Failed) and isinstance(event.error, AdapterNotFound)
    assert "'nort'" in str(event.error) and "north" in str(event.error)


def test_an_adapter_is_attached_once() -> None:
    decoder = ScriptedDecoder(lambda tokens: 1)
    engine = Engine(decoder, ByteTokenizer(), max_waiting=8, emit=lambda event: None)
    engine.attach("north", Path("first"))
    engine.attach("north", Path("second"))
    assert decoder.attached == {"north": Path("first")}
