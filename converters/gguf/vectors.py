"""A GGUF that gives vectors or scores, computed as exactly as llama.cpp can."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converters.gguf.compute import exact_plan
from converters.tensors import FloatArray
from runtime.backends.base import Passage
from runtime.backends.llama.encoder import LlamaEncoder
from runtime.backends.llama.model import LlamaModel
from runtime.models.encoding import Encoding


class GgufVectors:
    """An encoder, or a decoder with pooling, in a GGUF whose header has been checked. It must be closed."""

    def __init__(self, path: Path, encoding: Encoding, *, context_length: int = 512) -> None:
        self.encoding = encoding
        self._model = LlamaModel(path)
        try:
            self._encoder = LlamaEncoder(self._model, exact_plan(context_length), encoding)
        except BaseException:
            self._model.close()
            raise

    def encode(self, text: str) -> list[int]:
        """Ids as the runtime reads a text, with what belongs around it; names of control tokens are text."""
        around = [[] if end is None else [end] for end in (self.encoding.opening, self.encoding.closing)]
        return [*around[0], *self._model.tokenizer.encode(text, parse_special=False), *around[1]]

    def row(self, tokens: Sequence[int]) -> FloatArray:
        """The vector, not normalised, or the scores: shape (width,)."""
        row: FloatArray = self._encoder.encode([Passage(tokens)])[0]
        return row

    def close(self) -> None:
        """Give the memory back. Calling it twice is harmless."""
        self._encoder.close()
        self._model.close()
