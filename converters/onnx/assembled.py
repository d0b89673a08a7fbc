"""Masked language models whose embedding is two factors, as modules of torch: transformers has no class for them.

Source of the module: OFA's `XLMRobertaAssembledForMaskedLM`, https://github.com/cisnlp/ofa.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import nn

from converters.checkpoint import Checkpoint
from converters.factors import COORDINATES, HEAD_BIAS, PRIMITIVES, TIED, factors_of
from runtime.errors import ConversionRefused

_SHOWN = 5


class Coordinates(nn.Module):
    """The embedding: a row of `weight` (tokens, rank) by its id, times `primitives` (rank, width)."""

    def __init__(self, weight: Any, primitives: Any) -> None:
        super().__init__()
        self.weight, self.primitives = nn.Parameter(weight), nn.Parameter(primitives)

    def forward(self, input_ids: Any) -> Any:
        """Shape (batch, sequence) to (batch, sequence, width)."""
        return nn.functional.embedding(input_ids, self.weight) @ self.primitives


class Projection(nn.Module):
    """The head: states times the primitives transposed, then the coordinates transposed, and the bias."""

    def __init__(self, table: Coordinates, bias: Any) -> None:
        super().__init__()
        self.table, self.bias = table, nn.Parameter(bias)

    def forward(self, states: Any) -> Any:
        """Shape (batch, sequence, width) to (batch, sequence, tokens)."""
        return states @ self.table.primitives.T @ self.table.weight.T + self.bias


def load_assembled(checkpoint: Checkpoint) -> Any:
    """The model in float32, with attention written out as products.

    Raises:
        ConversionRefused: a weight is missing, or has another shape.
    """
    coordinates, primitives = factors_of(checkpoint.tensors, str(checkpoint.folder))
    if HEAD_BIAS not in checkpoint.tensors:
        raise ConversionRefused(f"{checkpoint.folder} lacks {HEAD_BIAS}.", remedy="Get the checkpoint again.")
    config: Any = transformers.AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    config._attn_implementation = "eager"  # noqa: SLF001  # there is no other way to ask a class itself
    # Its own embedding is made small: it is replaced.
    config.vocab_size = (config.pad_token_id or 0) + 1
    kind: Any = transformers.XLMRobertaForMaskedLM
    model: Any = kind(config).float()
    table = Coordinates(torch.tensor(coordinates.whole()), torch.tensor(primitives.whole().T.copy()))
    model.roberta.embeddings.word_embeddings = table
    model.lm_head.decoder = Projection(table, torch.tensor(checkpoint.tensors[HEAD_BIAS].whole()))
    model.config.vocab_size = coordinates.shape[0]
    ours = {COORDINATES, PRIMITIVES, HEAD_BIAS, *TIED}
    values = {name: torch.tensor(tensor.whole()) for name, tensor in checkpoint.tensors.items() if name not in ours}
    try:
        told = model.load_state_dict(values, strict=False)
    except RuntimeError as fault:
        raise ConversionRefused(
            f"{checkpoint.folder} does not fit its config: {' '.join(str(fault).split())}", remedy="Get it again."
        ) from fault
    kept = ("roberta.embeddings.word_embeddings.", "lm_head.decoder.", "lm_head.bias")
    missing = [name for name in told.missing_keys if not name.startswith(kept)]
    if missing:
        raise ConversionRefused(
            f"{checkpoint.folder} lacks {len(missing)} of its weights: {', '.join(missing[:_SHOWN])}.",
            remedy="Get the checkpoint again.",
        )
    return model.eval()
