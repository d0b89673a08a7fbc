"""The plan of an encoder-decoder: as many sources together as memory holds, and one as long as the context at least."""

from __future__ import annotations

import dataclasses

import pytest

from runtime.config import EngineConfig
from runtime.errors import ModelLoadFailed
from runtime.hardware.plan import Plan
from runtime.hardware.seq2seq_plan import plan_seq2seq
from runtime.models.inspect import ModelShape
from tests.runtime.hardware import MIB, cuda, machine

BYT5_SMALL = ModelShape(  # f16
    architecture="t5",
    size_bytes=572 * MIB,
    parameter_count=300_000_000,
    context_length=1024,
    embedding_length=1472,
    block_count=12,
    head_count=6,
    head_counts_kv=(6,) * 12,
    key_length=64,
    value_length=64,
    vocabulary_size=384,
    sliding_window=0,
)
MT5_SMALL = dataclasses.replace(
    BYT5_SMALL,
    context_length=512,
    embedding_length=512,
    block_count=8,
    head_counts_kv=(6,) * 8,
    vocabulary_size=250_112,
)
LIMITS = EngineConfig()


@pytest.mark.parametrize("shape", [BYT5_SMALL, MT5_SMALL])
def test_a_source_as_long_as_the_context_fits_and_others_beside_it(shape: ModelShape) -> None:
    chosen = plan_seq2seq(machine(4, free_gib=16), shape, LIMITS)
    assert chosen.context_length == shape.context_length
    assert chosen.batch_size == chosen.ubatch_size
    assert chosen.context_length < chosen.batch_size <= 4096
    # llama.cpp cuts the batch to the size of the KV cache.
    assert chosen.num_cells > chosen.batch_size
    assert 1 < chosen.max_sequences <= 8
    assert (chosen.kv_type, chosen.flash_attention) == ("f32", False)


def test_one_request_alone_gets_no_room_for_others() -> None:
    chosen = plan_seq2seq(machine(4, free_gib=16), BYT5_SMALL, dataclasses.replace(LIMITS, max_sequences=1))
    assert (chosen.max_sequences, chosen.batch_size, chosen.num_cells) == (1, 1024, 1280)


def test_a_large_vocabulary_costs_room_for_logits_that_nobody_reads() -> None:
    here = machine(4, free_gib=6)
    large = plan_seq2seq(here, MT5_SMALL, LIMITS)
    assert large.estimated_bytes > MT5_SMALL.size_bytes + 2 * 4 * large.batch_size * 250_112
    assert large.estimated_bytes < 0.9 * here.memory_available
    small = dataclasses.replace(MT5_SMALL, vocabulary_size=384)
    assert plan_seq2seq(here, small, LIMITS).batch_size > large.batch_size


def test_where_memory_is_short_so_are_sources_and_it_says_so() -> None:
    long = dataclasses.replace(MT5_SMALL, context_length=4096)
    chosen = plan_seq2seq(machine(4, free_gib=4), long, LIMITS)
    assert 512 <= chosen.context_length < 4096
    assert "Memory allows no more; 4096 were wanted." in chosen.reasons["context_length"]
    with pytest.raises(ModelLoadFailed, match="beside its weights for a text of 512 tokens"):
        plan_seq2seq(machine(4, free_gib=1.5), MT5_SMALL, LIMITS)


def test_a_card_without_room_for_the_sources_is_left_alone() -> None:
    assert plan_seq2seq(machine(4, cards=(cuda(8, 8),)), MT5_SMALL, LIMITS).gpu_layers == 9
    assert plan_seq2seq(machine(4, cards=(cuda(1.2, 8),)), MT5_SMALL, LIMITS).gpu_layers == 0


def test_every_field_has_a_reason() -> None:
    chosen = plan_seq2seq(machine(4), BYT5_SMALL, LIMITS)
    assert set(chosen.reasons) == {field.name for field in dataclasses.fields(Plan)} - {"reasons"}
