"""What the engine asks of a backend: steps over many sequences, sources, sharing, saving, adapters; or vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

# Cells that are saved and restored together. Fewer cost more calls than they save computing; more leave more of a
# prompt's last ones to be computed, and would not all be within the attention window of some models (gpt-oss: 128).
BLOCK_CELLS = 64


@dataclass(frozen=True)
class Chunk:
    """Consecutive tokens of one sequence in one step; logits are wanted after each of the last `num_logits`."""

    slot: int
    position: int
    tokens: Sequence[int]
    num_logits: int


@dataclass(frozen=True)
class Source:
    """What the answers in `slots` are about: the tokens that the encoder of an encoder-decoder reads."""

    tokens: Sequence[int]
    slots: Sequence[int]


class SourceEncoder(Protocol):
    """The encoder of an encoder-decoder, whose decoder looks at one source from each slot.

    A source has at most `context_length` tokens, and all of them together, counted once for each slot, `batch_size`.
    `start` are the tokens that every answer begins with. They take cells of the KV cache, but nothing of the decoder's
    `context_length`, which is for the answer alone. `reads_anew`: a source is read again with each call, and not only
    with the first that names it.
    """

    context_length: int
    batch_size: int
    start: tuple[int, ...]
    reads_anew: bool

    def encode(self, sources: Sequence[Source], adapter: str | None = None) -> None:
        """Let the slots see these sources, read with `adapter`, and all other slots none.

        What is in the KV cache stays as it is.

        Raises:
            InferenceFailed: the backend failed; no slot sees any source.
        """


class Rows(Protocol):
    """Answers of an encoder-decoder that grow together: so many rows, all with the same number of tokens."""

    def step(self, tokens: Ids, num_logits: int = 1) -> Logits:
        """Append tokens, shape (rows, new).

        Returns:
            Logits after the last `num_logits` of them: shape (rows, num_logits, vocabulary).

        Raises:
            InferenceFailed: the backend failed.
        """

    def keep(self, rows: Ids) -> None:
        """Go on with these rows in this order; one may come several times, or not at all."""


class RowDecoder(Protocol):
    """What beam search asks of an encoder-decoder.

    `max_rows` is how many rows should be computed together at most, and `ends` are the tokens that end an answer.
    """

    max_rows: int
    ends: tuple[int, ...]

    def read(self, sources: Sequence[Sequence[int]]) -> Rows:
        """Encode the sources: a row for each, which has no token yet.

        Raises:
            InferenceFailed: the backend failed.
        """


class Decoder(Protocol):
    """A model that generates text, and its KV cache of `num_cells` cells.

    Up to `max_sequences` sequences are computed at once, each seen through one of `num_slots` slots; the other slots
    keep finished sequences. `state_format` tells what `save` writes from what a decoder with other settings would write
    for the same model; it is None where cells cannot be saved. `sources` is the encoder of an encoder-decoder, which
    must have read the source of every sequence that is computed; None where there is only a decoder. `rows` is how
    beams are computed, None where they cannot be.
    """

    sources: SourceEncoder | None
    rows: RowDecoder | None
    vocabulary_size: int
    context_length: int
    num_cells: int
    batch_size: int
    max_sequences: int
    num_slots: int
    state_format: str | None

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        """Compute the chunks, at most `batch_size` tokens in all, and append them to the KV cache.

        All are computed with `adapter`, which has been attached; None is the model alone.

        Returns:
            Logits that the chunks want, in order: float32, shape (sum of `num_logits`, vocabulary_size). Valid, and
            writable, until the next call.

        Raises:
            InferenceFailed: the backend failed; what the sequences of this step hold in the cache is undefined.
        """

    def share(self, source: int, slot: int, count: int) -> None:
        """Let the empty `slot` see the first `count` cells of the slot `source`; nothing is copied or computed."""

    def truncate(self, slot: int, count: int) -> None:
        """Free the KV cells of the sequence in `slot` from the position `count` on."""

    def save(self, slot: int, start: int) -> bytes:
        """Copy the `BLOCK_CELLS` KV cells of the sequence in `slot` from the position `start` on.

        Raises:
            InferenceFailed: the backend cannot.
        """

    def restore(self, slot: int, start: int, state: bytes) -> None:
        """Append the cells of `state`, which was saved from `start`, to the sequence in `slot`, which is so long.

        The sequence it was saved from began with the same tokens, and so many cells are free.

        Raises:
            InferenceFailed: it is not what `save` writes; the sequence is as it was.
        """

    def forget(self, slot: int) -> None:
        """Free all KV cells of the sequence in `slot`."""

    def attach(self, adapter: str, path: Path) -> None:
        """Load the LoRA at `path`, whose header has been checked, to be computed with under the name `adapter`.

        Raises:
            ModelLoadFailed: the backend refused it.
        """

    def close(self) -> None:
        """Give the memory back. Calling it twice is harmless."""


@dataclass(frozen=True)
class Passage:
    """A sequence to encode, and the place of the first token of its second text, where it is of two."""

    tokens: Sequence[int]
    second: int | None = None


class Encoder(Protocol):
    """A model that makes a row of `width` numbers of a sequence, or of each of its tokens: a vector, or scores.

    A step takes up to `batch_size` tokens in up to `max_sequences` sequences; one alone may have `context_length`.
    """

    width: int
    context_length: int
    batch_size: int
    max_sequences: int

    def encode(self, passages: Sequence[Passage]) -> list[Vectors]:
        """Compute the passages, none of them empty, independently of each other.

        Returns:
            What the model gives of each, in order (not normalised): float32, shape (width,), or (tokens, width).

        Raises:
            InferenceFailed: the backend failed.
        """

    def close(self) -> None:
        """Give the memory back. Calling it twice is harmless."""
