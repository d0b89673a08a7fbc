"""Two artefacts of the same model held against each other, language by language.

Each is a GGUF, computed by llama.cpp, or a checkpoint, computed by transformers, both in float32. The ids of the first
are given to both, so that logits can be compared where the tokenizers differ. What gives vectors or scores instead of
text is compared by `verify_vectors.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from converters.architectures.registry import gives_text
from converters.checkpoint import Checkpoint, open_checkpoint
from converters.likelihood import kl_divergences, total_bits
from converters.probes import LINES
from converters.tensors import FloatArray
from converters.verify_vectors import Pooled, VectorReport, compare
from runtime.errors import ConversionRefused
from runtime.models.encoding import Encoding, encoding_of
from runtime.models.files import NoProgress, Progress
from runtime.models.header import Header
from runtime.models.inspect import check_loadable, read_header
from runtime.models.name import MODEL_SUFFIX

NUM_GREEDY = 20


class Computed(Protocol):
    """A model that can be compared."""

    vocabulary_size: int
    has_encoder: bool

    def encode(self, text: str) -> list[int]:
        """Ids of a text, with what belongs around it."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""

    def logits(self, tokens: Sequence[int]) -> FloatArray:
        """Logits after each token of one sequence, or before it with an encoder: shape (len(tokens), vocabulary)."""

    def greedy(self, tokens: Sequence[int], count: int) -> list[int]:
        """The likeliest tokens that follow."""

    def close(self) -> None:
        """Give the memory back."""


@dataclass(frozen=True)
class LineParity:
    """One language's line.

    max_difference: of all logits.
    mean_kl, max_kl: KL divergence of the second's next-token distributions from the first's, over the positions, nats.
    top_1: share of positions where both have the same likeliest token.
    num_bytes: of the text in UTF-8.
    bits_per_byte: what the text costs the first and the second: the negative log-likelihood, to the base 2, of its
        tokens after the first (with an encoder: of all, the text being written again), by its bytes.
    num_greedy: how many of `NUM_GREEDY` greedy tokens are the same from the first on.
    greedy_texts: the two continuations.
    """

    language: str
    num_tokens: int
    has_same_ids: bool
    max_difference: float
    mean_kl: float
    max_kl: float
    top_1: float
    num_bytes: int
    bits_per_byte: tuple[float, float]
    num_greedy: int
    greedy_texts: tuple[str, str]


@dataclass(frozen=True)
class Report:
    """All languages, and over all of them."""

    first: str
    second: str
    lines: tuple[LineParity, ...]

    def summary(self) -> dict[str, Any]:
        """The figures over all languages; the worst of the differences, the means of the shares."""
        weights = [line.num_tokens for line in self.lines]
        return {
            "languages": len(self.lines),
            "tokens": sum(weights),
            "same_ids": sum(line.has_same_ids for line in self.lines),
            "max_difference": max(line.max_difference for line in self.lines),
            "mean_kl": float(np.average([line.mean_kl for line in self.lines], weights=weights)),
            "max_kl": max(line.max_kl for line in self.lines),
            "top_1": float(np.average([line.top_1 for line in self.lines], weights=weights)),
            "bits_per_byte": [self._bits_per_byte(index) for index in (0, 1)],
            "same_greedy": sum(line.num_greedy == NUM_GREEDY for line in self.lines),
        }

    def _bits_per_byte(self, index: int) -> float:
        weights = [line.num_bytes for line in self.lines]
        return float(np.average([line.bits_per_byte[index] for line in self.lines], weights=weights))

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"first": self.first, "second": self.second, **self.summary(), "lines": [asdict(x) for x in self.lines]}


def verify(
    first: str | Checkpoint, second: str, progress: Progress | None = None, lines: Mapping[str, str] | None = None
) -> Report | VectorReport:
    """Compare two artefacts on a line of text a language: `LINES`, or others.

    Raises:
        ModelNotFound, ModelFileInvalid, ConversionRefused: one of them cannot be read.
        ConversionRefused: they are not the same model, or two checkpoints of which none says how vectors are made.
    """
    names, texts = (first, second), LINES if lines is None else lines
    first = first.origin.source if isinstance(first, Checkpoint) else first
    encodings = [encoding_of(header) for header in map(_header_of, names) if header is not None]
    encoding = encodings[0] if encodings else None
    if any((each is None) != (encoding is None) for each in encodings):
        raise ConversionRefused(f"{first} and {second} are not the same model: one gives text, one does not.")
    with ExitStack() as stack:
        if encoding is not None:
            left, right = [stack.enter_context(closing(_open_pooled(name, encoding, progress))) for name in names]
            return compare(first, second, left, right, texts)
        one, other = [stack.enter_context(closing(open_model(name, progress))) for name in names]
        if one.vocabulary_size != other.vocabulary_size:
            raise ConversionRefused(
                f"{first} has a vocabulary of {one.vocabulary_size} tokens, {second} of {other.vocabulary_size}: they "
                "are not the same model."
            )
        return Report(first, second, tuple(_line(language, text, one, other) for language, text in texts.items()))


def _header_of(name: str | Checkpoint) -> Header | None:
    """The checked header of a GGUF; None for a checkpoint."""
    if isinstance(name, Checkpoint) or not name.casefold().endswith(MODEL_SUFFIX):
        return None
    header = read_header(Path(name))
    check_loadable(header)
    return header


def open_model(name: str | Checkpoint, progress: Progress | None = None) -> Computed:
    """A GGUF by its path, or a checkpoint by its folder or name on the hub, of a model that gives text.

    Raises:
        ModelNotFound, ModelFileInvalid, ConversionRefused, UnsupportedArchitecture: as `verify`.
    """
    header = _header_of(name)
    if header is not None:
        from converters.served import ServedModel

        return ServedModel(header.path)
    from converters.source import SourceModel

    checkpoint = _checkpoint(name, progress)
    if not gives_text(checkpoint):
        raise ConversionRefused(
            f"{checkpoint.folder} gives vectors or scores, and does not say enough of how.",
            remedy="Compare a GGUF of it with it.",
        )
    return SourceModel(checkpoint)


def _open_pooled(name: str | Checkpoint, encoding: Encoding, progress: Progress | None) -> Pooled:
    """The same of a model that gives vectors or scores: a checkpoint as `encoding` has it."""
    header = _header_of(name)
    if header is not None:
        from converters.served import ServedVectors

        return ServedVectors(header.path, encoding_of(header) or encoding)
    from converters.source_vectors import SourceVectors

    return SourceVectors(_checkpoint(name, progress), encoding)


def _checkpoint(name: str | Checkpoint, progress: Progress | None) -> Checkpoint:
    return name if isinstance(name, Checkpoint) else open_checkpoint(name, progress or NoProgress())


def _line(language: str, text: str, one: Computed, other: Computed) -> LineParity:
    tokens = one.encode(text)
    wanted, found = one.logits(tokens), other.logits(tokens)
    divergences = kl_divergences(wanted, found)
    num_bytes = len(text.encode())
    bits = [total_bits(rows, tokens, has_encoder=one.has_encoder) for rows in (wanted, found)]
    greedy = one.greedy(tokens, NUM_GREEDY), other.greedy(tokens, NUM_GREEDY)
    same = next((at for at, (a, b) in enumerate(zip(*greedy, strict=True)) if a != b), NUM_GREEDY)
    return LineParity(
        language=language,
        num_tokens=len(tokens),
        has_same_ids=other.encode(text) == tokens,
        max_difference=float(np.abs(wanted - found).max()),
        mean_kl=float(divergences.mean()),
        max_kl=float(divergences.max()),
        top_1=float((wanted.argmax(axis=1) == found.argmax(axis=1)).mean()),
        num_bytes=num_bytes,
        bits_per_byte=(bits[0] / num_bytes, bits[1] / num_bytes),
        num_greedy=same,
        greedy_texts=(one.decode(greedy[0]), other.decode(greedy[1])),
    )
