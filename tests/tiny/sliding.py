"""A tiny random model of Gemma 3's architecture, whose layers but the sixth see a sliding window of the last tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.tiny.gguf import write_tiny_gguf

_LAYERS, _WIDTH, _HEAD_SIZE = 6, 64, 16


def write_sliding_gguf(path: Path, *, window: int, context_length: int = 1024) -> Path:
    """Write the file and return its path. `window` is in tokens, the present one among them."""
    random = np.random.default_rng(2)

    def norm(width: int) -> npt.NDArray[np.float32]:
        return random.uniform(0.5, 1.5, width).astype(np.float32)

    tensors = {
        f"blk.{layer}.{name}.weight": norm(width)
        for layer in range(_LAYERS)
        for name, width in (
            ("attn_q_norm", _HEAD_SIZE),
            ("attn_k_norm", _HEAD_SIZE),
            ("post_attention_norm", _WIDTH),
            ("post_ffw_norm", _WIDTH),
        )
    }
    return write_tiny_gguf(
        path,
        architecture="gemma3",
        layers=_LAYERS,
        embedding_length=_WIDTH,
        heads=_WIDTH // _HEAD_SIZE,
        context_length=context_length,
        metadata={
            "gemma3.attention.sliding_window": window,
            "gemma3.attention.key_length": _HEAD_SIZE,
            "gemma3.attention.value_length": _HEAD_SIZE,
        },
        tensors=tensors,
    )
