"""Values as a GGUF holds them: ggml's bytes are the gguf package's, and what cannot be held is refused."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from converters.gguf.encode import encoded
from runtime.errors import ConversionRefused

Q8_0, F16 = GGMLQuantizationType.Q8_0, GGMLQuantizationType.F16


def test_q8_0_is_that_of_the_gguf_package() -> None:
    values = np.random.default_rng(0).standard_normal((64, 96), dtype=np.float32)
    values[3] = 0
    values[5, :32] = np.linspace(-127, 127, 32) + 0.5  # halves are rounded away from zero
    values[7] *= 1e-30
    assert np.array_equal(encoded(values, Q8_0, "a"), quants.quantize(values, Q8_0))


def test_rows_that_lie_apart_in_memory_are_written_as_they_are_read() -> None:
    values = np.random.default_rng(0).standard_normal((96, 64), dtype=np.float32)
    assert np.array_equal(encoded(values.T, Q8_0, "a"), encoded(np.ascontiguousarray(values.T), Q8_0, "a"))


@pytest.mark.parametrize(("value", "sentence"), [(np.nan, "no finite numbers"), (1e5, "above 65504")])
def test_what_float16_cannot_hold_is_refused(value: float, sentence: str) -> None:
    with pytest.raises(ConversionRefused, match=f"values in 'blk.0' .*{sentence}"):
        encoded(np.array([[1, value]], np.float32), F16, "blk.0")
