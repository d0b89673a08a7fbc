"""Llama 1 to 3 and what is built like it (Mistral, SmolLM2, Lucie, ChocoLlama)."""

from __future__ import annotations

import numpy as np

from converters.architectures.decoder import Decoder
from converters.tensors import Tensor, reordered


class Llama(Decoder):
    """llama.cpp rotates neighbouring values of a head, transformers values half a head apart: rows move."""

    name = "llama"
    classes = ("LlamaForCausalLM", "LlamaModel", "MistralForCausalLM", "MistralModel")

    def changed(self, name: str, tensor: Tensor) -> Tensor:
        """Put the rows of each head of queries and keys, and of their biases, in llama.cpp's order."""
        if ".q_proj." in name:
            return _interleaved(tensor, self.heads)
        if ".k_proj." in name:
            return _interleaved(tensor, self.heads_kv)
        return tensor


def _interleaved(tensor: Tensor, heads: int) -> Tensor:
    rows = tensor.shape[0]
    order = np.arange(rows).reshape(heads, 2, rows // heads // 2).swapaxes(1, 2).ravel()
    return reordered(tensor, order)
