"""Decoders with layer norms and one matrix for queries, keys and values: GPT-2, GPT-NeoX, BLOOM."""

from __future__ import annotations

import numpy as np

from converters.architectures.base import Architecture, Shape, Value
from converters.tensors import Tensor, reordered

GELUS = frozenset({"gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"})


class JoinedDecoder(Architecture):
    """What the three have in common. llama.cpp computes GELU by its tanh approximation, whichever the source has."""

    activations = GELUS
    is_tied_by_default = True

    def layer(self, norms: tuple[str, str], attention: tuple[str, str], mlp: tuple[str, str]) -> dict[str, Shape]:
        """Shapes of a block by its two norms, its two matrices of attention and the two of its network."""
        width, width_ff = self.width, self.width_ff
        rows = {
            norms[0]: (width,),
            norms[1]: (width,),
            attention[0]: (3 * width, width),
            attention[1]: (width, width),
            mlp[0]: (width_ff, width),
            mlp[1]: (width, width_ff),
        }
        shapes: dict[str, Shape] = {}
        for name, shape in rows.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        return shapes

    def hyperparameters(self) -> dict[str, Value]:
        """See `Architecture.hyperparameters`."""
        return super().hyperparameters() | {
            "attention.layer_norm_epsilon": self.config.number("layer_norm_epsilon", "layer_norm_eps", default=1e-5),
        }

    def regrouped(self, tensor: Tensor) -> Tensor:
        """Rows that stand head by head (query, key and value of each), as all queries, all keys, all values."""
        rows = tensor.shape[0]
        order = np.arange(rows).reshape(self.heads, 3, rows // self.heads // 3).swapaxes(0, 1).ravel()
        return reordered(tensor, order)
