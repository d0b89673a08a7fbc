"""The plan of an encoder: the longest text in one step where it must be, and only as long as memory holds."""

from __future__ import annotations

import dataclasses

import pytest

from runtime.config import EngineConfig
from runtime.errors import ModelLoadFailed
from runtime.hardware.encoder_plan import plan_encoder
from runtime.hardware.plan import Plan
from runtime.models.encoding import Encoding
from runtime.models.inspect import ModelShape
from tests.runtime.hardware import GEMMA_270M, MIB, SMOLLM2_135M, machine

BGE_M3 = ModelShape(  # Q8_0
    architecture="bert",
    size_bytes=605 * MIB,
    parameter_count=567_000_000,
    context_length=8192,
    embedding_length=1024,
    block_count=24,
    head_count=16,
    head_counts_kv=(16,) * 24,
    key_length=64,
    value_length=64,
    vocabulary_size=250_002,
    sliding_window=0,
)
MINILM = dataclasses.replace(
    BGE_M3, size_bytes=44 * MIB, context_length=512, embedding_length=384, vocabulary_size=30_522
)
WHOLE = Encoding("cls", is_causal=False)
LAST = Encoding("last", is_causal=True)


@pytest.mark.parametrize(
    ("free_gib", "shape", "context", "batch"),
    [(64, BGE_M3, 8192, 512), (1, MINILM, 512, 512)],
)
def test_a_text_as_long_as_the_context_is_computed_at_once(
    free_gib: float, shape: ModelShape, context: int, batch: int
) -> None:
    chosen = plan_encoder(machine(4, free_gib=free_gib), shape, EngineConfig(), WHOLE)
    assert (chosen.context_length, chosen.ubatch_size, chosen.batch_size) == (context, context, batch)
    assert chosen.max_sequences == 64


def test_where_memory_is_short_so_is_the_context_and_it_says_so() -> None:
    here = machine(4, free_gib=6)
    chosen = plan_encoder(here, BGE_M3, EngineConfig(), WHOLE)
    assert 512 <= chosen.context_length < 8192
    # llama.cpp's room for logits nobody reads: 1 MB a token.
    assert chosen.estimated_bytes > BGE_M3.size_bytes + chosen.context_length * 1_000_000
    assert chosen.estimated_bytes <= here.memory_available * 0.9
    assert "Memory allows no more" in chosen.reasons["context_length"]
    with pytest.raises(ModelLoadFailed):
        plan_encoder(machine(4, free_gib=0.5), BGE_M3, EngineConfig(), WHOLE)


def test_a_causal_model_needs_no_long_step_for_a_long_text() -> None:
    chosen = plan_encoder(machine(4, free_gib=8), GEMMA_270M, EngineConfig(), LAST)
    assert (chosen.context_length, chosen.ubatch_size, chosen.batch_size) == (8192, 512, 512)


def test_the_limit_on_the_context_is_kept() -> None:
    for encoding in (WHOLE, LAST):
        chosen = plan_encoder(machine(4, free_gib=8), SMOLLM2_135M, EngineConfig(max_context=700), encoding)
        assert chosen.context_length == 700


@pytest.mark.parametrize("encoding", [WHOLE, LAST])
def test_every_choice_has_a_reason(encoding: Encoding) -> None:
    chosen = plan_encoder(machine(4, free_gib=8), BGE_M3, EngineConfig(), encoding)
    assert set(chosen.reasons) == {field.name for field in dataclasses.fields(Plan)} - {"reasons"}
