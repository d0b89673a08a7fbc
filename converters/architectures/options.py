"""What a person may ask of a conversion beyond the type."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The wishes.

    pooling: how vectors are made of hidden states ("mean", "cls", "last"), where the checkpoint does not say.
    is_reranker: the decoder judges pairs by "yes" and "no": of its head only these two rows are wanted.
    """

    pooling: str | None = None
    is_reranker: bool = False
