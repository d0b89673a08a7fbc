"""T5's family in float32 against transformers, from the same random weights: logits alone, together, and joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from runtime.backends.base import Chunk, Logits, Source
from runtime.backends.llama.model import LlamaModel
from runtime.backends.llama.seq2seq import LlamaEncoderDecoder
from runtime.config import EngineConfig
from runtime.errors import InferenceFailed
from runtime.hardware.plan import Plan
from runtime.hardware.probe import probe
from runtime.hardware.seq2seq_plan import plan_seq2seq
from runtime.models.inspect import check_loadable, read_header
from tests.tiny.gguf import write_tiny_lora
from tests.tiny.seq2seq import tiny_byt5, tiny_mt5, tiny_t5, write_seq2seq

# llama.cpp looks GELU up in a table of half precision, so only a model without it can be equal to the last digits.
FAMILIES: dict[str, tuple[Callable[[], Any], float]] = {
    "t5": (tiny_t5, 1e-4),
    "mt5": (tiny_mt5, 0.1),
    "byt5": (tiny_byt5, 0.1),
}
SOURCES = ([5, 6, 7, 8, 9, 20, 1], [30, 40, 50, 1], [11] * 40 + [1])
ANSWERS = ([0, 9, 8, 7], [0, 33], [0, 4, 4, 17, 4, 4, 4])


class Pair:
    """The same model twice: as GGUF in llama.cpp, and in transformers."""

    def __init__(self, name: str, folder: Path) -> None:
        make, self.tolerance = FAMILIES[name]
        self.reference = make()
        self.path = write_seq2seq(folder / f"{name}.gguf", self.reference)
        header = read_header(self.path)
        check_loadable(header)
        self.model = LlamaModel(self.path)
        chosen = plan_seq2seq(probe(), header.shape(), EngineConfig(max_context=256))
        self.plan: Plan = dataclasses.replace(chosen, max_sequences=4)

    def expected(self, source: list[int], answer: list[int]) -> Logits:
        with torch.no_grad():
            wanted = self.reference(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([answer]))
        return np.array(wanted.logits[0].numpy())

    def check(self, found: Logits, wanted: Logits) -> None:
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() < self.tolerance
        assert divergence(wanted, found) < 1e-3


def divergence(one: Logits, other: Logits) -> float:
    """The largest Kullback-Leibler divergence of two rows, in nats."""
    logs = [rows - np.logaddexp.reduce(rows, axis=-1, keepdims=True) for rows in (one, other)]
    return float((np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=-1).max())


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(request.param, tmp_path_factory.mktemp("seq2seq"))
    yield made
    made.model.close()


@pytest.fixture
def decoder(pair: Pair) -> Iterator[LlamaEncoderDecoder]:
    made = LlamaEncoderDecoder(pair.model, pair.plan)
    yield made
    made.close()


@contextmanager
def opened(path: Path, plan: Plan) -> Iterator[LlamaEncoderDecoder]:
    model = LlamaModel(path)
    decoder = LlamaEncoderDecoder(model, plan)
    yield decoder
    decoder.close()
    model.close()


def whole(slot: int, tokens: list[int]) -> Chunk:
    return Chunk(slot, 0, tokens, len(tokens))


def test_one_source_gives_the_logits_of_transformers(pair: Pair, decoder: LlamaEncoderDecoder) -> None:
    for source, answer in zip(SOURCES, ANSWERS, strict=True):
        decoder.encode([Source(source, [2])])
        pair.check(decoder.forward([whole(2, answer)]), pair.expected(source, answer))
        decoder.forget(2)


def test_sources_of_different_lengths_together_give_the_same(pair: Pair, decoder: LlamaEncoderDecoder) -> None:
    decoder.encode([Source(source, [slot]) for slot, source in enumerate(SOURCES)])
    found = decoder.forward([whole(slot, answer) for slot, answer in enumerate(ANSWERS)])
    pair.check(found, np.concatenate(list(map(pair.expected, SOURCES, ANSWERS))))


def test_a_source_that_joins_leaves_the_answers_of_the_others_as_they_are(
    pair: Pair, decoder: LlamaEncoderDecoder
) -> None:
    decoder.encode([Source(SOURCES[0], [0]), Source(SOURCES[1], [1])])
    decoder.forward([whole(0, ANSWERS[0]), whole(1, ANSWERS[1])])
    decoder.forget(1)
    # The slot that was left gets another source, and a third one joins.
    decoder.encode([Source(SOURCES[0], [0]), Source(SOURCES[2], [1]), Source(SOURCES[1], [3])])
    going_on = [*ANSWERS[0], 21, 22]
    found = decoder.forward([Chunk(0, 4, [21, 22], 2), whole(1, ANSWERS[2]), whole(3, ANSWERS[1])])
    wanted = pair.expected(SOURCES[0], going_on)[-2:]
    pair.check(
        found,
        np.concatenate([wanted, pair.expected(SOURCES[2], ANSWERS[2]), pair.expected(SOURCES[1], ANSWERS[1])]),
    )


def test_several_answers_look_at_one_source_also_when_they_are_no_longer_equally_long(
    pair: Pair, decoder: LlamaEncoderDecoder
) -> None:
    decoder.encode([Source(SOURCES[0], [0, 1, 2])])
    found = decoder.forward([whole(slot, answer) for slot, answer in enumerate(ANSWERS)])
    pair.check(found, np.concatenate([pair.expected(SOURCES[0], answer) for answer in ANSWERS]))
    decoder.encode([Source(SOURCES[0], [0, 1, 2, 3])])
    found = decoder.forward([Chunk(slot, len(answer), [15], 1) for slot, answer in enumerate(ANSWERS)])
    pair.check(found, np.concatenate([pair.expected(SOURCES[0], [*answer, 15])[-1:] for answer in ANSWERS]))


def test_sources_beyond_the_batch_are_refused_before_they_can_abort_the_process(decoder: LlamaEncoderDecoder) -> None:
    with pytest.raises(InferenceFailed, match=f"do not fit the batch of {decoder.batch_size}"):
        decoder.encode([Source([5] * (decoder.batch_size + 1), [0])])
    with pytest.raises(InferenceFailed, match="do not fit"):
        decoder.encode([])
    decoder.encode([Source([5] * decoder.context_length, [0])])


def test_answers_begin_with_the_token_that_the_file_names(
    pair: Pair, decoder: LlamaEncoderDecoder, tmp_path: Path
) -> None:
    assert decoder.start == (0,)
    path = write_seq2seq(tmp_path / "other.gguf", pair.reference, metadata={"t5.decoder_start_token_id": 7})
    with opened(path, pair.plan) as other:
        assert other.start == (7,)


def test_an_adapter_does_what_its_matrices_added_to_the_weights_do(
    pair: Pair, decoder: LlamaEncoderDecoder, tmp_path: Path
) -> None:
    lora = write_tiny_lora(tmp_path / "bg.gguf", pair.path, targets=("attn_q", "cross_attn_v"))
    matrices = {tensor.name: tensor.data for tensor in gguf.GGUFReader(lora).tensors}
    merged = {
        tensor.name: tensor.data + matrices[f"{tensor.name}.lora_b"] @ matrices[f"{tensor.name}.lora_a"]
        for tensor in gguf.GGUFReader(pair.path).tensors
        if f"{tensor.name}.lora_a" in matrices
    }
    assert any(name.startswith("enc.") for name in merged)

    def logits(of: LlamaEncoderDecoder, adapter: str | None) -> Logits:
        of.encode([Source(SOURCES[0], [0])], adapter)
        found = np.array(of.forward([whole(0, ANSWERS[0])], adapter))
        of.forget(0)
        return found

    decoder.attach("bg", lora)
    plain, adapted = logits(decoder, None), logits(decoder, "bg")
    assert np.abs(adapted - plain).max() > 0.1
    np.testing.assert_array_equal(logits(decoder, None), plain)
    with opened(write_seq2seq(tmp_path / "merged.gguf", pair.reference, tensors=merged), pair.plan) as other:
        pair.check(logits(other, None), adapted)
