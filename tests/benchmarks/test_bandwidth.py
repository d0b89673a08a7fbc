"""What memory allows: the bytes of a step counted by hand, and a copy that is really made."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.bandwidth import cpu_bandwidth, cuda_bandwidth, limit_of
from runtime.errors import InferenceFailed
from runtime.hardware.ggml import card_backend
from tests.runtime.hardware import LLAMA_7B


def test_a_step_reads_all_layers_the_head_and_the_keys_and_values_of_the_text_so_far() -> None:
    shape = dataclasses.replace(LLAMA_7B, block_bytes=(100,) * 32, output_bytes=50)
    found = limit_of(shape, "f16", 10, bandwidth=1e9)
    # 32 layers of 32 heads of 128 keys and 128 values of 2 bytes, for 10 tokens
    assert found.bytes_per_step == 32 * 100 + 50 + 32 * 32 * 256 * 2 * 10
    assert found.steps_per_second == pytest.approx(1e9 / found.bytes_per_step)


def test_this_machine_copies_some_gigabytes_a_second() -> None:
    assert 1e8 < cpu_bandwidth(2) < 1e13


@pytest.mark.skipif(card_backend() == "CUDA", reason="there is a card, which has CUDA's library")
def test_without_a_card_it_is_said_what_is_missing() -> None:
    with pytest.raises(InferenceFailed, match=r"libcudart.*CUDA toolkit|CUDA failed in cudaSetDevice.*demotic doctor"):
        cuda_bandwidth()
