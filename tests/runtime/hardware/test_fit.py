"""Whether a model fits: by its header's plan, or by that of a published model of its size."""

from __future__ import annotations

import pytest

from runtime.config import EngineConfig
from runtime.hardware.fit import fit_of, fit_of_size, shape_of_size
from runtime.hardware.plan import plan
from tests.runtime.hardware import GIB, LLAMA_7B, SMOLLM2_135M, machine

SMALL = machine(4, free_gib=3.2)
LARGE = machine(8, free_gib=24)


def test_a_model_fits_as_the_plan_for_its_header_says() -> None:
    fit = fit_of(LARGE, LLAMA_7B)
    planned = plan(LARGE, LLAMA_7B, EngineConfig())
    assert (fit.fits, fit.is_estimate, fit.reason) == (True, False, "")
    assert (fit.estimated_bytes, fit.context_length) == (planned.estimated_bytes, planned.context_length)


def test_a_model_that_the_machine_cannot_hold_is_told_with_the_plan_s_reason() -> None:
    fit = fit_of(SMALL, LLAMA_7B)
    assert fit.fits is False
    assert fit.estimated_bytes is None
    assert "memory" in fit.reason


@pytest.mark.parametrize(
    ("file", "size", "parameters", "here", "fits"),
    [
        ("qwen3-0.6b-Q8_0.gguf", 639_446_688, 600_000_000, SMALL, True),
        ("pensez-7b.Q8_0.gguf", 8_100_000_000, 7_600_000_000, SMALL, False),
        ("pensez-7b.Q8_0.gguf", 8_100_000_000, 7_600_000_000, LARGE, True),
        # Without a size it follows from the quantization: 7.6 B weights are 4.7 GB in Q4_K_M and 15 GB in F16.
        ("lucie-Q4_K_M.gguf", None, 7_600_000_000, machine(4, free_gib=7.5), True),
        ("lucie-F16.gguf", None, 7_600_000_000, machine(4, free_gib=7.5), False),
        # Without the parameters these follow from the bytes.
        ("unknown.gguf", 2 * GIB, None, SMALL, True),
        ("unknown.gguf", 4 * GIB, None, SMALL, False),
    ],
)
def test_one_that_is_not_here_is_planned_for_by_its_size(file, size, parameters, here, fits) -> None:  # type: ignore[no-untyped-def]  # the table tells
    fit = fit_of_size(here, file=file, size_bytes=size, parameters=parameters)
    assert (fit.fits, fit.is_estimate) == (fits, True)


def test_of_one_without_any_size_nothing_is_said() -> None:
    assert fit_of_size(LARGE, file="x.gguf").fits is None


def test_the_shape_of_a_size_is_that_of_a_published_model_that_is_not_smaller() -> None:
    shape = shape_of_size(1_000_000_000, 700_000_000)
    assert (shape.block_count, shape.embedding_length, shape.head_count) == (28, 2048, 16)
    assert (shape.size_bytes, shape.parameter_count) == (700_000_000, 1_000_000_000)
    assert shape_of_size(400_000_000_000, 1).block_count == 64
    tiny = fit_of(SMALL, shape_of_size(SMOLLM2_135M.parameter_count, SMOLLM2_135M.size_bytes))
    exact = fit_of(SMALL, SMOLLM2_135M)
    assert tiny.estimated_bytes is not None
    assert exact.estimated_bytes is not None
    assert tiny.estimated_bytes > exact.estimated_bytes
