"""A GGUF, or a folder of graphs, computed by the runtime as exactly as it can.

That is with float32 keys and values, without flash attention, and without sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.likelihood import likeliest
from converters.tensors import FloatArray
from runtime.backends.base import Chunk, Passage, Source
from runtime.backends.load import load_decoder, load_encoder
from runtime.errors import InferenceFailed
from runtime.hardware.plan import Plan
from runtime.hardware.probe import probe
from runtime.models.encoding import Encoding

# More would be of little use for the few tokens at a time that are compared.
_MOST_THREADS = 4
_SLOT = 0
_ADAPTERS = "adapters"


class ServedModel:
    """A decoder, or an encoder-decoder, that has been checked. It must be closed."""

    def __init__(self, path: Path, *, context_length: int = 512) -> None:
        self._loaded = load_decoder(path, exact_plan(context_length))
        self._decoder = self._loaded.decoder
        self.tokenizer = self._loaded.tokenizer
        self._adapter: str | None = None
        self.vocabulary_size = self.tokenizer.vocabulary_size
        self.has_encoder = self._decoder.sources is not None

    def attach(self, adapters: Sequence[tuple[Path, float]]) -> None:
        """Load LoRAs that have been checked into a GGUF's model, each with its scale; `adapt` lets them take part."""
        from runtime.backends.llama.decoder import LlamaDecoder

        assert isinstance(self._decoder, LlamaDecoder)  # noqa: S101  # graphs take no adapters
        self._decoder.attach_together(_ADAPTERS, adapters)

    def adapt(self, *, is_adapted: bool) -> None:
        """Compute with what was attached from now on, or without it."""
        self._adapter = _ADAPTERS if is_adapted else None

    def encode(self, text: str) -> list[int]:
        """Ids as the runtime reads a text, with what belongs around it; names of control tokens are text."""
        return list(self.tokenizer.encode(text, parse_special=False))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, with U+FFFD for bytes that are no UTF-8."""
        return b"".join(self.tokenizer.token_bytes(token) for token in tokens).decode("utf-8", "replace")

    def logits(self, tokens: Sequence[int]) -> FloatArray:
        """Logits for each token of one sequence: shape (len(tokens), vocabulary).

        Of a decoder those after the token; of an encoder-decoder, which reads the sequence and is to write it again,
        those before it.
        """
        start = self._read(tokens)
        return self._decode(tokens if start is None else [*start, *tokens][: len(tokens)], 0)

    def greedy(self, tokens: Sequence[int], count: int, among: npt.NDArray[np.int64] | None = None) -> list[int]:
        """The `count` likeliest tokens that follow, or of an encoder-decoder answer, one after the other.

        Where `among` is given, ascending, they are of these tokens.
        """
        start = self._read(tokens)
        begun = tokens if start is None else start
        found = [likeliest(self._decode(begun, 0)[-1], among)]
        while len(found) < count:
            found.append(likeliest(self._decode(found[-1:], len(begun) + len(found) - 1)[-1], among))
        return found

    def _read(self, tokens: Sequence[int]) -> Sequence[int] | None:
        """Forget what was before; have the encoder read `tokens` and return what its answers begin with, if any."""
        self._decoder.forget(_SLOT)
        if self._decoder.sources is None:
            return None
        self._decoder.sources.encode([Source(tokens, [_SLOT])], self._adapter)
        return self._decoder.sources.start

    def _decode(self, tokens: Sequence[int], position: int) -> FloatArray:
        most = self._decoder.context_length
        if position + len(tokens) > most:
            raise InferenceFailed(f"{position + len(tokens)} tokens do not fit a context of {most}.")
        return self._decoder.forward([Chunk(_SLOT, position, tokens, len(tokens))], self._adapter).copy()

    def close(self) -> None:
        """Give the memory back. Calling it twice is harmless."""
        self._loaded.close()


class ServedVectors:
    """An encoder, or a decoder with pooling, that has been checked. It must be closed."""

    def __init__(self, path: Path, encoding: Encoding, *, context_length: int = 512) -> None:
        self.encoding = encoding
        self._loaded = load_encoder(path, exact_plan(context_length), encoding)

    def encode(self, text: str) -> list[int]:
        """Ids as the runtime reads a text, with what belongs around it; names of control tokens are text."""
        around = [[] if end is None else [end] for end in (self.encoding.opening, self.encoding.closing)]
        return [*around[0], *self._loaded.tokenizer.encode(text, parse_special=False), *around[1]]

    def row(self, tokens: Sequence[int]) -> FloatArray:
        """The vector, not normalised, or the scores: shape (width,), or (tokens, width) where each token has some."""
        row: FloatArray = self._loaded.encoder.encode([Passage(tokens)])[0]
        return row

    def close(self) -> None:
        """Give the memory back. Calling it twice is harmless."""
        self._loaded.close()


def exact_plan(context_length: int) -> Plan:
    """One sequence at a time, in float32 wherever llama.cpp lets it be chosen."""
    threads = min(_MOST_THREADS, probe().usable_cores)
    return Plan(
        threads=threads,
        threads_batch=threads,
        batch_size=context_length,
        ubatch_size=context_length,
        context_length=context_length,
        num_cells=context_length,
        max_sequences=1,
        gpu_layers=0,
        flash_attention=False,
        kv_type="f32",
        reasons={},
        estimated_bytes=0,
    )
