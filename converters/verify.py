"""Two artefacts of the same model held against each other, language by language.

Each is a GGUF, computed by llama.cpp, or a checkpoint, computed by transformers, both in float32. The ids of the first
are given to both, so that logits can be compared where the tokenizers differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from converters.checkpoint import open_checkpoint
from converters.probes import LINES
from converters.tensors import FloatArray
from runtime.errors import ConversionRefused, UnsupportedArchitecture
from runtime.models.encoding import encoding_of
from runtime.models.files import NoProgress, Progress
from runtime.models.inspect import check_loadable, read_header
from runtime.models.name import MODEL_SUFFIX
from runtime.models.seq2seq import SEQ2SEQ

NUM_GREEDY = 20


class Computed(Protocol):
    """A model that can be compared."""

    vocabulary_size: int

    def encode(self, text: str) -> list[int]:
        """Ids of a text, with what belongs around it."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""

    def logits(self, tokens: Sequence[int]) -> FloatArray:
        """Logits after each token of one sequence: shape (len(tokens), vocabulary)."""

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
            "same_greedy": sum(line.num_greedy == NUM_GREEDY for line in self.lines),
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"first": self.first, "second": self.second, **self.summary(), "lines": [asdict(x) for x in self.lines]}


def verify(first: str, second: str, progress: Progress | None = None, lines: Mapping[str, str] | None = None) -> Report:
    """Compare two artefacts on a line of text a language: `LINES`, or others.

    Raises:
        ModelNotFound, ModelFileInvalid, ConversionRefused: one of them cannot be read.
        UnsupportedArchitecture: one of them gives vectors, no text.
        ConversionRefused: they have vocabularies of different sizes.
    """
    opened: list[Computed] = []
    try:
        opened.extend(open_model(name, progress) for name in (first, second))
        one, other = opened
        if one.vocabulary_size != other.vocabulary_size:
            raise ConversionRefused(
                f"{first} has a vocabulary of {one.vocabulary_size} tokens, {second} of {other.vocabulary_size}: they "
                "are not the same model."
            )
        texts = (LINES if lines is None else lines).items()
        return Report(first, second, tuple(_line(language, text, one, other) for language, text in texts))
    finally:
        for model in opened:
            model.close()


def open_model(name: str, progress: Progress | None = None) -> Computed:
    """A GGUF by its path, or a checkpoint by its folder or name on the hub.

    Raises:
        ModelNotFound, ModelFileInvalid, ConversionRefused, UnsupportedArchitecture: as `verify`.
    """
    if name.casefold().endswith(MODEL_SUFFIX):
        from converters.gguf.compute import GgufModel

        header = read_header(Path(name))
        check_loadable(header)
        if (encoding := encoding_of(header)) is not None:
            raise UnsupportedArchitecture(f"{name} {encoding.purpose}; decoders, which give text, are compared.")
        if header.architecture in SEQ2SEQ:  # llama.cpp would abort where nothing was encoded before
            raise UnsupportedArchitecture(f"{name} is an encoder-decoder; decoders are compared.")
        return GgufModel(Path(name))
    from converters.source import SourceModel

    return SourceModel(open_checkpoint(name, progress or NoProgress()))


def _line(language: str, text: str, one: Computed, other: Computed) -> LineParity:
    tokens = one.encode(text)
    wanted, found = one.logits(tokens), other.logits(tokens)
    divergences = kl_divergences(wanted, found)
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
        num_greedy=same,
        greedy_texts=(one.decode(greedy[0]), other.decode(greedy[1])),
    )


def kl_divergences(wanted: FloatArray, found: FloatArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """KL(wanted || found) of the distributions that rows of logits give, in nats: shape (rows)."""
    p, q = _log_softmax(wanted), _log_softmax(found)
    divergences: np.ndarray[Any, np.dtype[np.float64]] = (np.exp(p) * (p - q)).sum(axis=1)
    return divergences


def _log_softmax(rows: FloatArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    shifted = rows.astype(np.float64) - rows.max(axis=1, keepdims=True)
    logs: np.ndarray[Any, np.dtype[np.float64]] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs
