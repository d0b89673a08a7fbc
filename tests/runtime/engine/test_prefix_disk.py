"""An engine that saves prefixes answers as one that does not, and does not compute again what was computed before."""

from __future__ import annotations

import logging
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.backends.base import BLOCK_CELLS
from runtime.config import EngineConfig, PrefixConfig, WorkerConfig
from runtime.engine.client import stream
from runtime.engine.engine import Engine
from runtime.engine.loader import WorkerLoader
from runtime.engine.messages import Abort, Delta, Event, Finished, Generate
from runtime.engine.prefix_files import write_block
from runtime.engine.prefix_store import PrefixStore
from runtime.engine.sampling import SamplingParams
from runtime.errors import ModelLoadFailed
from runtime.model import Model
from runtime.models.store import ModelFile
from tests.fakes.decoder import ByteTokenizer, ScriptedDecoder
from tests.tiny.gguf import write_tiny_gguf, write_tiny_lora
from tests.tiny.sliding import write_sliding_gguf

GREEDY = SamplingParams(temperature=0)
# Two blocks and a bit.
SHARED = "The same beginning of many requests. " * 4


def count_up(tokens: list[int]) -> int:
    return tokens[-1] % 256 + 1


class Desk:
    """An engine with a store, from its start to its orderly end."""

    def __init__(self, folder: Path, decoder: ScriptedDecoder, config: PrefixConfig | None = None) -> None:
        self.decoder = decoder
        self.events: list[Event] = []
        self.store = PrefixStore(folder, "scripted", config)
        self.engine = Engine(
            decoder, ByteTokenizer(), max_waiting=64, max_draft=4, emit=self.events.append, store=self.store
        )

    def ask(self, name: str, prompt: str, max_tokens: int = 3, adapter: str | None = None) -> None:
        self.engine.generate(Generate(name, prompt, GREEDY, max_tokens, adapter=adapter))

    def run(self) -> None:
        while self.engine.has_work:
            self.engine.step()

    def answer(self, prompt: str, adapter: str | None = None) -> tuple[str, int]:
        """The answer to a prompt, and how many of its tokens were not computed."""
        name = str(len(self.events))
        self.ask(name, prompt, adapter=adapter)
        self.run()
        return self.text(name), self.cached(name)

    def text(self, name: str) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Delta) and event.request_id == name)

    def cached(self, name: str) -> int:
        (event,) = [event for event in self.events if isinstance(event, Finished) and event.request_id == name]
        return event.usage.cached_tokens

    @property
    def num_free_cells(self) -> int:
        return self.engine._scheduler.cache.num_free_cells


def decoder_of(num_cells: int = 1000, **sizes: int) -> ScriptedDecoder:
    return ScriptedDecoder(count_up, **({"context_length": 300, "batch_size": 64} | sizes), num_cells=num_cells)


@contextmanager
def desk_in(folder: Path, decoder: ScriptedDecoder | None = None, config: PrefixConfig | None = None) -> Iterator[Desk]:
    desk = Desk(folder, decoder or decoder_of(), config)
    yield desk
    desk.engine.close()


def num_files(folder: Path) -> int:
    return len(list(folder.glob("*/*.kv")))


def test_after_a_restart_what_was_computed_before_is_not_computed_again(tmp_path: Path) -> None:
    with desk_in(tmp_path) as desk:
        assert desk.answer(SHARED + "a") == ("bcd", 0)
    with desk_in(tmp_path) as desk:
        assert desk.answer(SHARED + "b") == ("cde", 2 * BLOCK_CELLS)
        assert sum(len(chunk.tokens) for chunk in desk.decoder.steps[0]) == len(SHARED) + 1 - 2 * BLOCK_CELLS


def test_the_last_token_of_a_prompt_is_computed_also_where_all_of_it_was_saved(tmp_path: Path) -> None:
    prompt = "x" * 2 * BLOCK_CELLS
    for cached in (0, BLOCK_CELLS):
        with desk_in(tmp_path) as desk:
            assert desk.answer(prompt) == ("yz{", cached)


def test_what_had_to_make_room_comes_back(tmp_path: Path) -> None:
    with desk_in(tmp_path, decoder_of(num_cells=300)) as desk:
        desk.answer(SHARED + "a")
        desk.answer("x" * 290)
        while num_files(tmp_path) < 2:
            time.sleep(0.01)
        assert desk.answer(SHARED + "b") == ("cde", 2 * BLOCK_CELLS)


def test_what_a_slot_holds_is_shared_and_what_was_saved_beyond_it_restored(tmp_path: Path) -> None:
    with desk_in(tmp_path) as desk:
        desk.answer(SHARED + "a")
    with desk_in(tmp_path) as desk:
        desk.answer(SHARED[: BLOCK_CELLS + 10] + "#")
        used = desk.decoder.num_used
        assert desk.answer(SHARED + "b")[1] == 2 * BLOCK_CELLS
        # The first block is shared by all three.
        assert desk.decoder.num_used == used + len(SHARED) + 1 + 2 - BLOCK_CELLS


def test_what_a_slot_holds_is_not_restored(tmp_path: Path) -> None:
    with desk_in(tmp_path) as desk:
        desk.answer(SHARED + "a")
    with desk_in(tmp_path) as desk:
        desk.answer(SHARED + "b")
        for path in tmp_path.glob("*/*.kv"):
            path.unlink()
        assert desk.answer(SHARED + "c") == ("def", len(SHARED))


def test_at_the_end_the_most_recently_used_are_saved_first(tmp_path: Path) -> None:
    config = PrefixConfig(max_queued_bytes=1, close_seconds=0.0)

    def write_slowly(*arguments: Any) -> int:
        # Else the disk might keep up with the engine, and all would be saved.
        time.sleep(0.3)
        return write_block(*arguments)

    with patch("runtime.engine.prefix_store.write_block", write_slowly):
        with desk_in(tmp_path, config=config) as desk:
            for letter in "xyz":
                desk.answer(letter * 100)
            desk.answer("x" * 101)
        desk.store.close(time.monotonic() + 30)
    assert num_files(tmp_path) == 1
    with desk_in(tmp_path) as desk:
        assert [desk.answer(letter * 99)[1] for letter in "xyz"] == [BLOCK_CELLS, 0, 0]


def test_a_failed_request_is_not_saved(tmp_path: Path) -> None:
    decoder = decoder_of()
    decoder.fail_at = 2
    with desk_in(tmp_path, decoder) as desk:
        desk.ask("a", SHARED + "a")
        desk.run()
    assert num_files(tmp_path) == 0


def test_what_one_adapter_computed_is_not_restored_for_another(tmp_path: Path) -> None:
    path = tmp_path / "polite.gguf"
    path.write_bytes(b"an adapter")
    for cached in (0, 2 * BLOCK_CELLS):
        with desk_in(tmp_path) as desk:
            desk.engine.attach("polite", path)
            assert desk.answer(SHARED + "a", "polite") == ("bcd", cached)
            assert desk.answer(SHARED + "a") == ("bcd", cached)


def test_a_damaged_file_costs_computing_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with desk_in(tmp_path) as desk:
        desk.answer(SHARED + "a")
    for path in tmp_path.glob("*/*.kv"):
        path.write_bytes(path.read_bytes()[:-1])
    with desk_in(tmp_path) as desk:
        assert desk.answer(SHARED + "b") == ("cde", 0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    with desk_in(tmp_path) as desk:
        assert desk.answer(SHARED + "c")[1] > 0


def test_a_state_that_the_backend_refuses_costs_computing_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with desk_in(tmp_path) as desk, patch.object(ScriptedDecoder, "save", lambda *_: b"no state at all"):
        desk.answer(SHARED + "a")
        desk.engine.close()
    with desk_in(tmp_path) as desk:
        assert desk.answer(SHARED + "b") == ("cde", 0)
    assert "cannot read it" in caplog.text


def test_a_disk_that_is_too_slow_is_left_for_computing(tmp_path: Path) -> None:
    with desk_in(tmp_path) as desk:
        desk.answer(SHARED + "a")
    with desk_in(tmp_path, config=PrefixConfig(read_seconds=-1)) as desk:
        assert desk.answer(SHARED + "b") == ("cde", 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(250, 600), st.integers(1, 6), st.integers(8, 64))
def test_whatever_comes_and_goes_every_answer_is_right_and_no_cell_is_lost(
    seed: int, num_cells: int, max_sequences: int, batch_size: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # a test that can be repeated
    beginnings = [SHARED, SHARED[:70] + "but then otherwise, for a good while. " * 3, "z" * 200, ""]
    with tempfile.TemporaryDirectory() as folder:
        num_cached = 0
        for _ in range(3):
            decoder = decoder_of(num_cells, context_length=250, max_sequences=max_sequences, batch_size=batch_size)
            with desk_in(Path(folder), decoder, PrefixConfig(max_bytes=30_000)) as desk:
                ask_at_random(desk, beginnings, chance)
                num_cached += sum(e.usage.cached_tokens for e in desk.events if isinstance(e, Finished))
                assert decoder.num_used + desk.num_free_cells == decoder.num_cells
        assert num_cached > 0


def ask_at_random(desk: Desk, beginnings: list[str], chance: random.Random) -> None:
    asked: dict[str, str] = {}
    aborted = set()
    for number in range(15):
        name = str(number)
        asked[name] = chance.choice(beginnings) + chance.choice("abcde") * chance.randint(1, 9)
        desk.ask(name, asked[name], max_tokens=chance.randint(1, 12))
        for _ in range(chance.randint(0, 6)):
            if desk.engine.has_work:
                desk.engine.step()
        if chance.random() < 0.2:
            aborted.add(name)
            desk.engine.abort(Abort(name))
        if chance.random() < 0.1:
            for path in list(desk.store._folder.glob("*.kv"))[:2]:
                path.write_bytes(b"damaged")
    desk.run()
    for name, prompt in asked.items():
        text = desk.text(name)
        assert text == "".join(chr(ord(prompt[-1]) + step) for step in range(1, len(text) + 1))
        assert text or name in aborted


# Real models in real processes


@pytest.fixture(params=["llama", "sliding"])
def model_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tiny model in float32; the second has an attention window that is shorter than the prompts."""
    if request.param == "sliding":
        return write_sliding_gguf(tmp_path / "model.gguf", window=100, context_length=1024)
    return write_tiny_gguf(tmp_path / "model.gguf", context_length=1024)


@contextmanager
def served(path: Path, prefix_dir: Path, *, context: int = 512) -> Iterator[Model]:
    """A model in a process of its own."""
    loader = WorkerLoader(
        {"tiny": ModelFile("tiny", path, None, "path", None)},
        EngineConfig(max_context=context),
        WorkerConfig(close_seconds=30),
        prefix_dir=prefix_dir,
    )
    card = loader.read("tiny")
    model = loader.start(card, loader.plan(card), lambda _share: True)
    yield model
    model.close()


def greedy(model: Model, prompt: str, adapter: str | None = None) -> tuple[str, int]:
    events = list(stream(model.client, Generate("a", prompt, GREEDY, 24, adapter=adapter)))
    last = events[-1]
    assert isinstance(last, Finished)
    return "".join(event.text for event in events if isinstance(event, Delta)), last.usage.cached_tokens


PROMPT = "the world and the working ring in the world " * 16


def test_a_restarted_worker_answers_the_same_and_has_the_prompt_already(model_path: Path, tmp_path: Path) -> None:
    with served(model_path, tmp_path / "prefixes") as model:
        half, _ = greedy(model, PROMPT[:500])
        text, _ = greedy(model, PROMPT)
        longer, _ = greedy(model, PROMPT + "and then")
    with served(model_path, tmp_path / "prefixes") as model:
        again, cached = greedy(model, PROMPT)
        assert again == text
        num_tokens = len(model.tokenize(PROMPT))
        assert num_tokens - 1 - BLOCK_CELLS < cached < num_tokens
        assert cached >= 3 * BLOCK_CELLS
    with served(model_path, tmp_path / "prefixes") as model:
        # First from the middle of what was saved, where the attention window is another than at its end.
        assert greedy(model, PROMPT[:500]) == (half, BLOCK_CELLS * 2)
        assert greedy(model, PROMPT + "and then") == (longer, cached)


def test_damaged_files_cost_a_restarted_worker_computing_and_a_warning(
    model_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(model_path, tmp_path / "prefixes") as model:
        text, _ = greedy(model, PROMPT)
    for path in tmp_path.glob("prefixes/*/*.kv"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING), served(model_path, tmp_path / "prefixes") as model:
        assert greedy(model, PROMPT) == (text, 0)
    assert "its checksum is wrong" in caplog.text
    with served(model_path, tmp_path / "prefixes") as model:
        assert greedy(model, PROMPT)[1] > 0


def test_another_model_and_another_adapter_have_prefixes_of_their_own(tmp_path: Path) -> None:
    base = write_tiny_gguf(tmp_path / "model.gguf", context_length=1024)
    lora = write_tiny_lora(tmp_path / "lora.gguf", base)
    with served(base, tmp_path / "prefixes") as model:
        model.attach(lora, "lora")
        alone, adapted = greedy(model, PROMPT), greedy(model, PROMPT, "lora")
        assert adapted[0] != alone[0]
    write_tiny_lora(lora, base, seed=5)
    with served(base, tmp_path / "prefixes") as model:
        model.attach(lora, "lora")
        assert greedy(model, PROMPT, "lora")[1] == 0
        text, cached = greedy(model, PROMPT)
        assert (text, cached > 0) == (alone[0], True)
    write_tiny_gguf(base, context_length=1024, seed=5)
    with served(base, tmp_path / "prefixes") as model:
        assert greedy(model, PROMPT)[1] == 0


def test_a_window_that_is_shorter_than_a_block_means_no_saving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_sliding_gguf(tmp_path / "model.gguf", window=BLOCK_CELLS - 1, context_length=1024)
    for _ in range(2):
        with served(path, tmp_path / "prefixes") as model:
            assert greedy(model, PROMPT)[1] == 0
    assert "attention window of this model is too short" in caplog.text


def test_a_folder_that_a_worker_cannot_use_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_tiny_gguf(tmp_path / "model.gguf", context_length=1024)
    (tmp_path / "prefixes").write_bytes(b"")
    with served(path, tmp_path / "prefixes") as model:
        assert greedy(model, PROMPT)[1] == 0
    assert "no prefixes are saved" in caplog.text


def test_a_model_file_that_goes_before_it_is_hashed_is_told(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "model.gguf", context_length=1024)
    loader = WorkerLoader(
        {"tiny": ModelFile("tiny", path, None, "path", None)}, EngineConfig(), prefix_dir=tmp_path / "prefixes"
    )
    card = loader.read("tiny")
    path.unlink()
    with pytest.raises(ModelLoadFailed, match=r"model\.gguf cannot be read: No such file"):
        loader.start(card, loader.plan(card), lambda _share: True)
