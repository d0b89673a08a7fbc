"""A registry of devices with made-up cards beside the processor.

What is planned for the cards llama.cpp computes on the processor then: a build without CUDA does so without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from runtime.hardware import ggml
from runtime.hardware.ggml import GgmlDevice


@contextmanager
def seen(*cards: GgmlDevice) -> Iterator[None]:
    """Let this process see these cards."""
    devices = (*ggml.read_build().devices, *cards)
    with patch.object(ggml, "read_devices", lambda: devices):
        ggml.card_backend.cache_clear()
        yield
    ggml.card_backend.cache_clear()
