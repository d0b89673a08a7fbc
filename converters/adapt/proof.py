"""The proof that a trimmed model computes what its original does: the same bits for the rows that were kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from converters.likelihood import total_bits
from converters.progress import StepProgress
from converters.served import ServedModel, ServedVectors
from converters.tensors import FloatArray
from converters.verify_vectors import Pooled
from runtime.models.encoding import Encoding

_T = TypeVar("_T")

_LEAST_TOKENS = 3
# Of a line, what is gone on from.
_PROMPT_TOKENS = 16


class Writer(Protocol):
    """A model that gives text."""

    has_encoder: bool

    def encode(self, text: str) -> list[int]:
        """Ids of a text, with what belongs around it."""

    def logits(self, tokens: Sequence[int]) -> FloatArray:
        """Logits after each token of one sequence, or before it with an encoder: shape (len(tokens), vocabulary)."""

    def greedy(self, tokens: Sequence[int], count: int, among: npt.NDArray[np.int64] | None = None) -> list[int]:
        """The likeliest tokens that follow, of `among` where it is given."""


@dataclass(frozen=True)
class Effort:
    """How much of each source's text is computed.

    lines, prompts to go on from, and tokens that follow each.
    longest: tokens of a line that are computed at once; longer lines are left out, or their rest.
    """

    lines: int = 40
    prompts: int = 4
    tokens: int = 16
    longest: int = 128


@dataclass(frozen=True)
class Proof:
    """What was computed for one source.

    num_tokens: positions whose logits were compared; num_unequal of them differ in a bit.
    num_greedy: prompts; equal_restricted of them go on like the original where it may take kept tokens alone,
        equal_original like the original.
    bits: what the lines cost the original and the trimmed model, in bits, and num_bytes their bytes; not of models
        that give vectors.
    """

    num_tokens: int
    num_unequal: int
    num_greedy: int = 0
    equal_restricted: int = 0
    equal_original: int = 0
    bits: tuple[float, float] = (0.0, 0.0)
    num_bytes: int = 0

    @property
    def holds(self) -> bool:
        """Whether all is equal that must be."""
        return not self.num_unequal and self.equal_restricted == self.num_greedy

    @property
    def bits_per_byte(self) -> tuple[float, float] | None:
        """What a byte of the lines costs each."""
        return (self.bits[0] / self.num_bytes, self.bits[1] / self.num_bytes) if self.num_bytes else None


# What both make of the lines of a source.
Compare: TypeAlias = Callable[[Sequence[str]], Proof]


def prove(
    compared: AbstractContextManager[Compare], texts: Sequence[Sequence[str]], progress: StepProgress
) -> list[Proof]:
    """Compute source and result on the lines of each source of text."""
    progress.start("Comparing with the original", len(texts))
    try:
        with compared as compare:
            proofs = []
            for lines in texts:
                proofs.append(compare(lines))
                progress.advance()
            return proofs
    finally:
        progress.finish()


@contextmanager
def served(
    paths: tuple[Path, Path],
    encodings: tuple[Encoding | None, Encoding | None],
    kept: npt.NDArray[np.int64],
    effort: Effort,
) -> Iterator[Compare]:
    """The source and the result as the runtime computes them; `encodings` are those of what gives no text.

    The backend, the batch and the number of threads are the same for both, so that only the rows can differ.
    """
    if encodings[0] is None:
        with closing(ServedModel(paths[0])) as before, closing(ServedModel(paths[1])) as after:
            yield lambda lines: prove_text(before, after, kept, lines, effort)
    elif encodings[1] is None:
        yield lambda _lines: Proof(1, 1)  # one gives vectors, the other does not
    else:
        columns = kept if encodings[0].head == "fill-mask" else None
        with (
            closing(ServedVectors(paths[0], encodings[0])) as first,
            closing(ServedVectors(paths[1], encodings[1])) as last,
        ):
            yield lambda lines: prove_vectors(first, last, kept, lines, effort, columns)


def _spread(found: Sequence[_T], most: int) -> Sequence[_T]:
    """So many of what was found, from all over it."""
    return found[:: -(-len(found) // most) or 1]


def prove_text(
    before: Writer, after: Writer, kept: npt.NDArray[np.int64], lines: Sequence[str], effort: Effort
) -> Proof:
    """Compare logits and continuations on lines."""
    num_tokens = num_unequal = num_bytes = 0
    bits_before = bits_after = 0.0
    prompts: list[list[int]] = []
    for line in _spread(lines, 2 * effort.lines):  # some are too long or too short
        tokens, own = after.encode(line), before.encode(line)
        if not _LEAST_TOKENS <= len(tokens) <= effort.longest or len(own) > effort.longest:
            continue
        mapped = kept[tokens].tolist()
        found, wanted = after.logits(tokens), before.logits(mapped)
        num_tokens += len(tokens)
        num_unequal += int((found != wanted[:, kept]).any(axis=1).sum())
        bits_after += total_bits(found, tokens, has_encoder=after.has_encoder)
        rows = wanted if own == mapped else before.logits(own)
        bits_before += total_bits(rows, own, has_encoder=before.has_encoder)
        num_bytes += len(line.encode())
        prompts.append(tokens)
        if len(prompts) == effort.lines:
            break
    equal_restricted = equal_original = 0
    prompts = [tokens if before.has_encoder else tokens[:_PROMPT_TOKENS] for tokens in _spread(prompts, effort.prompts)]
    for tokens in prompts:
        mapped = kept[tokens].tolist()
        found = kept[after.greedy(tokens, effort.tokens)].tolist()
        equal_restricted += found == before.greedy(mapped, effort.tokens, among=kept)
        equal_original += found == before.greedy(mapped, effort.tokens)
    return Proof(
        num_tokens, num_unequal, len(prompts), equal_restricted, equal_original, (bits_before, bits_after), num_bytes
    )


def prove_vectors(
    before: Pooled,
    after: Pooled,
    kept: npt.NDArray[np.int64],
    lines: Sequence[str],
    effort: Effort,
    columns: npt.NDArray[np.int64] | None = None,
) -> Proof:
    """Compare vectors or scores on lines; `columns` are those of the original's that are kept, None for all."""
    num_tokens = num_unequal = 0
    for line in _spread(lines, effort.lines):
        tokens = after.encode(line)[: effort.longest]
        num_tokens += len(tokens)
        wanted = before.row(kept[tokens].tolist())
        num_unequal += not np.array_equal(after.row(tokens), wanted if columns is None else wanted[..., columns])
    return Proof(num_tokens, num_unequal)
