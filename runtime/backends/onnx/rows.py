"""Answers of an encoder-decoder that are computed together, and their keys and values as numpy holds them.

A decoder of this kind counts the places of new tokens from the length of its cache, so the rows of one call are equally
long; they may look at sources of different lengths, which are padded on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.backends.base import Ids, Logits
from runtime.backends.onnx.session import Graph

Array = npt.NDArray[np.float32]
LOGITS = "logits"


@dataclass(frozen=True)
class DecoderGraph:
    """The decoder, and what it calls its cache, layer by layer: what goes in, and what comes out in its place."""

    graph: Graph
    past: Sequence[str]
    present: Sequence[str]


class OnnxRows:
    """`Rows`: so many answers, all with `length` tokens in the cache.

    Keys and values have the shape (rows, heads, tokens, head size): `cross`, by which the source is read, one a source
    whatever the number of rows that look at it; `past`, of the answers. `sources` has of each row its place in `cross`,
    and `mask`, shape (sources, tokens), is 1 for text.
    """

    def __init__(
        self, decoder: DecoderGraph, cross: dict[str, Array], mask: Ids, past: dict[str, Array], sources: Ids
    ) -> None:
        self._decoder = decoder
        self.cross, self.mask, self.past, self.sources = cross, mask, past, sources
        # What the graph is given: the source of each row. Beams change rows all the time, and sources seldom.
        self._spread: dict[str, Array] | None = None

    @property
    def num_rows(self) -> int:
        """Answers."""
        return len(self.sources)

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return int(next(iter(self.past.values())).shape[2])

    def step(self, tokens: Ids, num_logits: int = 1) -> Logits:
        """Append tokens, shape (rows, new), and give the logits after the last `num_logits`: (rows, those, vocabulary).

        Raises:
            InferenceFailed: the graph cannot be computed.
        """
        seen = np.ones((self.num_rows, self.length + tokens.shape[1]), np.int64)
        given = {"input_ids": tokens, "attention_mask": seen, "encoder_attention_mask": self.mask[self.sources]}
        decoder = self._decoder
        feeds = {**given, **self.past, **self._spread_cross()}
        logits, *present = decoder.graph.run([LOGITS, *decoder.present], feeds)
        self.past = dict(zip(decoder.past, present, strict=True))
        wanted: Logits = logits[:, tokens.shape[1] - num_logits :]
        return wanted

    def keep(self, rows: Ids) -> None:
        """Go on with these rows in this order; one may come several times, or not at all."""
        sources = self.sources[rows]
        if len(rows) != self.num_rows:
            self.past = {name: cached[rows] for name, cached in self.past.items()}
        else:
            changed = np.flatnonzero(rows != np.arange(len(rows)))
            if len(changed):
                for cached in self.past.values():
                    cached[changed] = cached[rows[changed]]
        if len(sources) != len(self.sources) or (sources != self.sources).any():
            self._spread = None
        self.sources = sources
        self._forget_sources()

    def _forget_sources(self) -> None:
        """Let go of sources that no row looks at, and of padding that none of the others needs."""
        wanted = np.unique(self.sources)
        if len(wanted) == len(self.mask):
            return
        end = int(np.flatnonzero(self.mask[wanted].any(axis=0)).max(initial=0)) + 1
        self.mask = self.mask[wanted][:, :end]
        self.cross = {name: each[wanted][:, :, :end] for name, each in self.cross.items()}
        self.sources = np.searchsorted(wanted, self.sources)
        self._spread = None

    def _spread_cross(self) -> dict[str, Array]:
        if self._spread is None:
            is_one_each = np.array_equal(self.sources, np.arange(len(self.mask)))
            self._spread = (
                self.cross if is_one_each else {name: each[self.sources] for name, each in self.cross.items()}
            )
        return self._spread


def joined(parts: Sequence[tuple[OnnxRows, Ids]]) -> OnnxRows:
    """Rows made of some rows of each of others, which are all equally long."""
    first = parts[0][0]
    width = max(rows.mask.shape[1] for rows, _ in parts)
    cross = {
        name: np.concatenate([_padded(rows.cross[name][rows.sources[chosen]], 2, width) for rows, chosen in parts])
        for name in first.cross
    }
    mask = np.concatenate([_padded(rows.mask[rows.sources[chosen]], 1, width) for rows, chosen in parts])
    past = {name: np.concatenate([rows.past[name][chosen] for rows, chosen in parts]) for name in first.past}
    return OnnxRows(first._decoder, cross, mask, past, np.arange(len(mask)))  # noqa: SLF001  # of its own class


def _padded(array: npt.NDArray[np.generic], axis: int, width: int) -> npt.NDArray[np.generic]:
    missing = width - array.shape[axis]
    if not missing:
        return array
    return np.pad(array, [(0, missing if at == axis else 0) for at in range(array.ndim)])
