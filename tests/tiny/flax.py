"""Checkpoints of T5's family as Flax keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import load_file


def flax_array(values: np.ndarray[Any, Any], dtype: str) -> msgspec.msgpack.Ext:
    """An array as flax.serialization writes it."""
    return msgspec.msgpack.Ext(1, msgspec.msgpack.encode([list(values.shape), dtype, values.tobytes()]))


def to_flax(folder: Path) -> None:
    """Let flax_model.msgpack take the place of a folder's model.safetensors."""
    tree: dict[str, Any] = {}
    for name, values in load_file(folder / "model.safetensors").items():
        *above, last = name.split(".")
        inner = tree
        for part in above:
            inner = inner.setdefault(part, {})
        is_table = above[-1] in {"shared", "relative_attention_bias"}
        matrix = values if is_table or values.ndim == 1 else values.T
        leaf = "embedding" if is_table else "kernel" if values.ndim == 2 else last
        inner[leaf] = flax_array(np.ascontiguousarray(matrix), "float32")
    (folder / "flax_model.msgpack").write_bytes(msgspec.msgpack.encode(tree))
    (folder / "model.safetensors").unlink()
