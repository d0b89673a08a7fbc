"""A merged GGUF held against its base, which computes with the adapters beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.likelihood import kl_divergences
from converters.probes import LINES
from converters.progress import StepProgress
from converters.served import ServedModel
from runtime.errors import ConversionRefused


@dataclass(frozen=True)
class Proof:
    """How far the merged file, and how far the base alone, are from the base with its adapters.

    num_tokens: positions in lines of `num_lines` languages. mean_kl, max_kl: KL divergence of the next token's
    distribution, in nats. top_1: the share of positions with the same likeliest token.
    """

    num_lines: int
    num_tokens: int
    mean_kl: float
    max_kl: float
    top_1: float
    base_mean_kl: float
    base_top_1: float


def prove(
    base: Path,
    adapters: Sequence[tuple[Path, float]],
    merged: Path,
    progress: StepProgress,
    lines: Mapping[str, str] | None = None,
) -> Proof:
    """Compute both on a line of text a language.

    Raises:
        ConversionRefused: the merged file is no nearer to what it should be than the base is.
    """
    texts = list((LINES if lines is None else lines).values())
    divergences, agreeing = [], []
    progress.start("Comparing with the base and its adapters", len(texts))
    try:
        with closing(ServedModel(base)) as before, closing(ServedModel(merged)) as after:
            before.attach(adapters)
            for text in texts:
                tokens = before.encode(text)
                before.adapt(is_adapted=True)
                wanted = before.logits(tokens)
                before.adapt(is_adapted=False)
                rows = after.logits(tokens), before.logits(tokens)
                divergences.append((kl_divergences(wanted, rows[0]), kl_divergences(wanted, rows[1])))
                agreeing.append([wanted.argmax(axis=1) == each.argmax(axis=1) for each in rows])
                progress.advance()
    finally:
        progress.finish()
    own, alone = (np.concatenate([each[at] for each in divergences]) for at in (0, 1))
    top_1 = [float(np.concatenate([each[at] for each in agreeing]).mean()) for at in (0, 1)]
    proof = Proof(len(texts), len(own), float(own.mean()), float(own.max()), top_1[0], float(alone.mean()), top_1[1])
    if proof.mean_kl >= proof.base_mean_kl > 0:
        raise ConversionRefused(
            "The merged file is no nearer to the base with its adapters than the base alone: a divergence of "
            f"{proof.mean_kl:.4f} against {proof.base_mean_kl:.4f}. Its types are too coarse for what they change.",
            remedy="Merge into a larger type (Q8_0, F16), or into the checkpoint, and quantize that.",
        )
    return proof
