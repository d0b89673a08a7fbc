"""llama.cpp behind our Protocols, on a tiny random model in float32: what is batched equals what is alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.backends.base import BLOCK_CELLS, Chunk, Logits
from runtime.backends.llama.decoder import LlamaDecoder
from runtime.backends.llama.model import LlamaModel
from runtime.backends.load import load_decoder
from runtime.config import EngineConfig
from runtime.errors import Cancelled, InferenceFailed, InvalidRequest, ModelLoadFailed
from runtime.hardware.plan import Plan, plan
from runtime.hardware.probe import probe
from runtime.models.inspect import read_header
from tests.tiny.gguf import write_tiny_gguf
from tests.tiny.sliding import write_sliding_gguf

PROMPTS = ([5, 6, 7, 8, 9, 10, 11], [260, 12, 13], [20])


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_tiny_gguf(path, context_length=256)
    return path


@pytest.fixture(scope="module")
def tiny_plan(tiny_path: Path) -> Plan:
    chosen = plan(probe(), read_header(tiny_path).shape(), EngineConfig(max_context=256, batch_size=64))
    return dataclasses.replace(chosen, max_sequences=4, num_cells=512)


@pytest.fixture
def decoder(tiny_path: Path, tiny_plan: Plan) -> Iterator[LlamaDecoder]:
    model = LlamaModel(tiny_path)
    made = LlamaDecoder(model, tiny_plan)
    yield made
    made.close()
    made.close()
    model.close()
    model.close()


def rows(logits: Logits) -> Logits:
    """A copy that outlives the next step."""
    return np.array(logits)


def test_a_prompt_in_one_step_or_in_chunks_gives_the_same_logits(decoder: LlamaDecoder) -> None:
    tokens = PROMPTS[0]
    whole = rows(decoder.forward([Chunk(0, 0, tokens, num_logits=1)]))
    assert decoder.forward([Chunk(1, 0, tokens[:4], num_logits=0)]).shape == (0, decoder.vocabulary_size)
    parts = decoder.forward([Chunk(1, 4, tokens[4:], num_logits=1)])
    np.testing.assert_allclose(whole, parts, atol=2e-2)
    assert whole.argmax() == parts.argmax()


def test_sequences_of_one_step_do_not_see_each_other(decoder: LlamaDecoder) -> None:
    alone = []
    for tokens in PROMPTS:
        alone.append(rows(decoder.forward([Chunk(0, 0, tokens, num_logits=1)]))[0])
        decoder.forget(0)
    together = decoder.forward([Chunk(slot, 0, tokens, num_logits=1) for slot, tokens in enumerate(PROMPTS)])
    assert together.shape == (3, decoder.vocabulary_size)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-2)


def test_rows_come_in_the_order_of_the_chunks_that_want_them(decoder: LlamaDecoder) -> None:
    chunks = [Chunk(slot, 0, tokens, num_logits=int(slot != 1)) for slot, tokens in enumerate(PROMPTS)]
    both = rows(decoder.forward(chunks))
    for slot in range(3):
        decoder.forget(slot)
    all_three = decoder.forward([Chunk(slot, 0, tokens, num_logits=1) for slot, tokens in enumerate(PROMPTS)])
    np.testing.assert_allclose(both, all_three[[0, 2]], atol=1e-4)


def test_a_forgotten_slot_starts_anew_and_leaves_the_others_alone(decoder: LlamaDecoder) -> None:
    decoder.forward([Chunk(slot, 0, PROMPTS[0], num_logits=0) for slot in (0, 1)])
    before = rows(decoder.forward([Chunk(1, len(PROMPTS[0]), [3], num_logits=1)]))
    decoder.forget(0)
    decoder.forget(1)
    decoder.forward([Chunk(1, 0, PROMPTS[0], num_logits=0)])
    after = decoder.forward([Chunk(1, len(PROMPTS[0]), [3], num_logits=1)])
    np.testing.assert_allclose(before, after, atol=1e-3)


@pytest.fixture(scope="module")
def sliding_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sliding_gguf(tmp_path_factory.mktemp("sliding") / "sliding.gguf", window=64)


@pytest.fixture
def sliding(sliding_path: Path, tiny_plan: Plan) -> Iterator[LlamaDecoder]:
    chosen = dataclasses.replace(tiny_plan, num_cells=1024, context_length=1024, batch_size=512, max_sequences=2)
    loaded = load_decoder(sliding_path, chosen)
    assert isinstance(loaded.decoder, LlamaDecoder)
    yield loaded.decoder
    loaded.close()


def test_what_has_slid_out_of_a_sequence_s_attention_window_can_still_be_shared(sliding: LlamaDecoder) -> None:
    first, kept, other = ([20 + (step * factor) % 300 for step in range(400)] for factor in (3, 7, 11))
    sliding.forward([Chunk(0, 0, first[:100], num_logits=0)])
    sliding.forward([Chunk(1, 0, kept, num_logits=0)])
    sliding.forget(0)
    # More than there is room for before the kept one, so that its cells come next.
    sliding.forward([Chunk(2, 0, other, num_logits=0)])
    sliding.share(1, 3, 300)
    shared = rows(sliding.forward([Chunk(3, 300, [5, 6], num_logits=1)]))
    for slot in range(4):
        sliding.forget(slot)
    alone = sliding.forward([Chunk(0, 0, [*kept[:300], 5, 6], num_logits=1)])
    np.testing.assert_allclose(shared, alone, atol=2e-2)


def test_a_sequence_that_was_truncated_goes_on_as_if_it_had_never_been_longer(sliding: LlamaDecoder) -> None:
    tokens = [20 + step for step in range(200)]
    sliding.forward([Chunk(0, 0, tokens, num_logits=0)])
    sliding.share(0, 1, 200)
    sliding.truncate(0, 150)
    cut = rows(sliding.forward([Chunk(0, 150, [5], num_logits=1), Chunk(1, 200, [5], num_logits=1)]))
    sliding.forget(0)
    sliding.forget(1)
    for row, whole in zip(cut, ([*tokens[:150], 5], [*tokens, 5]), strict=True):
        np.testing.assert_allclose(row, sliding.forward([Chunk(2, 0, whole, num_logits=1)])[0], atol=2e-2)
        sliding.forget(2)


def test_saved_cells_go_on_in_another_slot_as_they_would_have_from_anywhere_on(sliding: LlamaDecoder) -> None:
    tokens = [20 + (step * 7) % 300 for step in range(320)]
    sliding.forward([Chunk(1, 0, tokens, num_logits=0)])
    states = [sliding.save(1, start) for start in range(0, 320, BLOCK_CELLS)]
    sliding.forget(1)
    # The slots that come after it may not take the cells of those before.
    sliding.forward([Chunk(0, 0, tokens[:300], num_logits=0)])
    for block, state in enumerate(states[:4]):
        sliding.restore(2, block * BLOCK_CELLS, state)
    sliding.share(2, 3, 140)
    after = rows(sliding.forward([Chunk(2, 256, [5, 6], num_logits=1), Chunk(3, 140, [5, 6], num_logits=1)]))
    for slot in range(4):
        sliding.forget(slot)
    for row, length in zip(after, (256, 140), strict=True):
        alone = sliding.forward([Chunk(0, 0, [*tokens[:length], 5, 6], num_logits=1)])
        np.testing.assert_allclose(row, alone[0], atol=2e-2)
        sliding.forget(0)


def test_a_state_that_is_none_is_refused_and_leaves_everything_as_it_was(sliding: LlamaDecoder) -> None:
    tokens = [20 + step for step in range(BLOCK_CELLS)]
    sliding.forward([Chunk(0, 0, tokens, num_logits=0)])
    state = sliding.save(0, 0)
    for damaged in (b"", b"no state", bytes(len(state)), state[:100], state[:-1], state + b"\0", b"\1" + state[1:]):
        with pytest.raises(InferenceFailed):
            sliding.restore(0, BLOCK_CELLS, damaged)
    with pytest.raises(InferenceFailed, match="cells 0 to 63 where it should begin with 64"):
        sliding.restore(0, BLOCK_CELLS, state)
    with pytest.raises(InferenceFailed):
        sliding.save(0, 1)
    with pytest.raises(InferenceFailed):
        sliding.save(1, 0)
    # All but the cells of the one sequence are free, and it goes on.
    for start in range(BLOCK_CELLS, sliding.num_cells, BLOCK_CELLS):
        sliding.forward([Chunk(0, start, [1] * BLOCK_CELLS, num_logits=0)])
    with pytest.raises(InferenceFailed):
        sliding.restore(1, 0, state)
    sliding.forget(0)
    sliding.restore(1, 0, state)


def test_states_of_other_settings_are_of_another_format(tmp_path: Path, tiny_plan: Plan) -> None:
    plain, long = tmp_path / "plain.gguf", tmp_path / "long.gguf"
    # Heads of 32, since q8_0 has blocks of so many.
    write_tiny_gguf(plain, heads=2)
    write_tiny_gguf(long, heads=2, metadata={"llama.rope.scaling.original_context_length": 1024})
    formats = set()
    for path, changes in (
        (plain, {}),
        (plain, {"kv_type": "q8_0"}),
        (plain, {"flash_attention": False}),
        (long, {"num_cells": 2048}),
    ):
        loaded = load_decoder(path, dataclasses.replace(tiny_plan, **changes))
        formats.add(loaded.decoder.state_format)
        loaded.close()
    assert len(formats) == 4
    same = load_decoder(plain, dataclasses.replace(tiny_plan, threads=1, num_cells=1024, max_sequences=2))
    assert same.decoder.state_format in formats
    same.close()


def test_a_step_that_llama_cpp_would_abort_on_is_an_error_and_the_next_one_works(decoder: LlamaDecoder) -> None:
    for chunks in (
        [Chunk(0, 0, [1] * (decoder.batch_size + 1), num_logits=1)],
        [],
        [Chunk(0, 0, [10**6], num_logits=1)],
        [Chunk(0, 50, [1], num_logits=1), Chunk(0, 3, [1], num_logits=1)],
    ):
        with pytest.raises(InferenceFailed):
            decoder.forward(chunks)
        decoder.forget(0)
    assert decoder.forward([Chunk(0, 0, [1], num_logits=1)]).shape == (1, decoder.vocabulary_size)


def test_a_full_cache_is_an_error_that_says_so(decoder: LlamaDecoder) -> None:
    with pytest.raises(InferenceFailed, match="no room"):
        for start in range(0, decoder.num_cells + 64, 64):
            decoder.forward([Chunk(0, start, [1] * 64, num_logits=0)])


def test_a_file_that_llama_cpp_refuses_is_named_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    write_tiny_gguf(path, metadata={"general.architecture": "unheard-of"})
    with pytest.raises(ModelLoadFailed, match="unknown model architecture: 'unheard-of'"):
        LlamaModel(path)


def test_loading_tells_its_progress_and_can_be_stopped(tiny_path: Path, tiny_plan: Plan) -> None:
    shares: list[float] = []

    def note(share: float) -> bool:
        shares.append(share)
        return True

    load_decoder(tiny_path, tiny_plan, progress=note).close()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    with pytest.raises(Cancelled):
        load_decoder(tiny_path, tiny_plan, progress=lambda _share: False)


def test_the_tokenizer_gives_back_every_byte_and_refuses_what_is_none(tiny_path: Path, tiny_plan: Plan) -> None:
    loaded = load_decoder(tiny_path, tiny_plan)
    tokenizer = loaded.tokenizer
    try:
        for text in ("hello", "жълт", "日本", "👩‍👩‍👧", "a\n\tb", "हिन्दी"):
            tokens = tokenizer.encode(text, parse_special=False)
            assert b"".join(map(tokenizer.token_bytes, tokens)).decode().removeprefix(" ") == text
        with pytest.raises(InvalidRequest, match="surrogate"):
            tokenizer.encode("a\ud800", parse_special=False)
        for token in (-1, tokenizer.vocabulary_size):
            with pytest.raises(InvalidRequest, match="no token"):
                tokenizer.token_bytes(token)
    finally:
        loaded.close()
