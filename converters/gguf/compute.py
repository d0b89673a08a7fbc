"""A GGUF computed as exactly as llama.cpp can: float32 keys and values, no flash attention, no sampling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.tensors import FloatArray
from runtime.backends.base import Chunk, Source
from runtime.backends.llama.decoder import LlamaDecoder
from runtime.backends.llama.model import LlamaModel
from runtime.backends.llama.seq2seq import LlamaEncoderDecoder
from runtime.errors import InferenceFailed
from runtime.hardware.plan import Plan
from runtime.hardware.probe import probe

# More would be of little use for the few tokens at a time that are compared.
_MOST_THREADS = 4
_SLOT = 0


class GgufModel:
    """A decoder, or an encoder-decoder, in a GGUF whose header has been checked. It must be closed."""

    def __init__(self, path: Path, *, context_length: int = 512) -> None:
        self._model = LlamaModel(path)
        self.tokenizer = self._model.tokenizer
        self.vocabulary_size = self.tokenizer.vocabulary_size
        self.has_encoder = self._model.has_encoder
        make = LlamaEncoderDecoder if self.has_encoder else LlamaDecoder
        try:
            self._decoder: LlamaDecoder = make(self._model, exact_plan(context_length))
        except BaseException:
            self._model.close()
            raise

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

        def likeliest(row: FloatArray) -> int:
            return int(row.argmax()) if among is None else int(among[row[among].argmax()])

        start = self._read(tokens)
        begun = tokens if start is None else start
        found = [likeliest(self._decode(begun, 0)[-1])]
        while len(found) < count:
            found.append(likeliest(self._decode(found[-1:], len(begun) + len(found) - 1)[-1]))
        return found

    def _read(self, tokens: Sequence[int]) -> Sequence[int] | None:
        """Forget what was before; have the encoder read `tokens` and return what its answers begin with, if any."""
        self._decoder.forget(_SLOT)
        if self._decoder.sources is None:
            return None
        self._decoder.sources.encode([Source(tokens, [_SLOT])])
        return self._decoder.sources.start

    def _decode(self, tokens: Sequence[int], position: int) -> FloatArray:
        most = self._decoder.context_length
        if position + len(tokens) > most:
            raise InferenceFailed(f"{position + len(tokens)} tokens do not fit a context of {most}.")
        return self._decoder.forward([Chunk(_SLOT, position, tokens, len(tokens))]).copy()

    def close(self) -> None:
        """Give the memory back. Calling it twice is harmless."""
        self._decoder.close()
        self._model.close()


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
