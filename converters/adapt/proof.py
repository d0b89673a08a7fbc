"""The proof that a trimmed GGUF computes what its original does: the same bits for the rows that were kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from converters.gguf.compute import GgufModel
from converters.gguf.vectors import GgufVectors
from converters.progress import StepProgress
from converters.verify import total_bits
from runtime.models.encoding import encoding_of
from runtime.models.inspect import read_header

_T = TypeVar("_T")

# Tokens of a line that are computed at once; the rest is left out.
_MOST_TOKENS = 128
_LEAST_TOKENS = 3
# Of a line, what is gone on from.
_PROMPT_TOKENS = 16


@dataclass(frozen=True)
class Effort:
    """How much of each source's text is computed: lines, prompts to go on from, and tokens that follow each."""

    lines: int = 40
    prompts: int = 4
    tokens: int = 16


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


def prove(
    original: Path,
    trimmed: Path,
    kept: npt.NDArray[np.int64],
    texts: Sequence[Sequence[str]],
    effort: Effort,
    progress: StepProgress,
) -> list[Proof]:
    """Compute both files on the lines of each source.

    The backend, the batch and the number of threads are the same for both, so that only the rows can differ.
    """
    progress.start("Comparing with the original", len(texts))
    try:
        with _comparison(original, trimmed, kept, effort) as prove_text:
            proofs = []
            for lines in texts:
                proofs.append(prove_text(lines))
                progress.advance()
            return proofs
    finally:
        progress.finish()


@contextmanager
def _comparison(
    original: Path, trimmed: Path, kept: npt.NDArray[np.int64], effort: Effort
) -> Iterator[Callable[[Sequence[str]], Proof]]:
    """Both files, loaded: what they make of the lines of a source."""
    encodings = [encoding_of(read_header(path)) for path in (original, trimmed)]
    if encodings[0] is None:
        with closing(GgufModel(original)) as before, closing(GgufModel(trimmed)) as after:
            yield lambda lines: _prove_text(before, after, kept, lines, effort)
    elif encodings[1] is None:
        yield lambda _lines: Proof(1, 1)  # one gives vectors, the other does not
    else:
        with closing(GgufVectors(original, encodings[0])) as first, closing(GgufVectors(trimmed, encodings[1])) as last:
            yield lambda lines: _prove_vectors(first, last, kept, lines, effort)


def _spread(found: Sequence[_T], most: int) -> Sequence[_T]:
    """So many of what was found, from all over it."""
    return found[:: -(-len(found) // most) or 1]


def _prove_text(
    before: GgufModel, after: GgufModel, kept: npt.NDArray[np.int64], lines: Sequence[str], effort: Effort
) -> Proof:
    num_tokens = num_unequal = num_bytes = 0
    bits_before = bits_after = 0.0
    prompts: list[list[int]] = []
    for line in _spread(lines, 2 * effort.lines):  # some are too long or too short
        tokens, own = after.encode(line), before.encode(line)
        if not _LEAST_TOKENS <= len(tokens) <= _MOST_TOKENS or len(own) > _MOST_TOKENS:
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


def _prove_vectors(
    before: GgufVectors, after: GgufVectors, kept: npt.NDArray[np.int64], lines: Sequence[str], effort: Effort
) -> Proof:
    num_tokens = num_unequal = 0
    for line in _spread(lines, effort.lines):
        tokens = after.encode(line)[:_MOST_TOKENS]
        num_tokens += len(tokens)
        num_unequal += not np.array_equal(after.row(tokens), before.row(kept[tokens].tolist()))
    return Proof(num_tokens, num_unequal)
