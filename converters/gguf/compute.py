"""A GGUF computed as exactly as llama.cpp can: float32 keys and values, no flash attention, no sampling."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np

from converters.tensors import FloatArray
from runtime.backends.llama import library
from runtime.backends.llama.model import LlamaModel
from runtime.backends.llama.threads import ThreadGovernor
from runtime.errors import InferenceFailed, ModelLoadFailed

# More would be of little use for the few tokens at a time that are compared.
_MOST_THREADS = 4


class GgufModel:
    """A decoder in a GGUF whose header has been checked. It must be closed."""

    def __init__(self, path: Path, *, context_length: int = 512) -> None:
        self._model = LlamaModel(path)
        self.tokenizer = self._model.tokenizer
        self.vocabulary_size = self.tokenizer.vocabulary_size
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = context_length
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        params.n_threads = params.n_threads_batch = threads
        self._governor = ThreadGovernor(threads)
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
        params.swa_full = True
        params.no_perf = True
        library.take_error()
        self._context = llama_cpp.llama_init_from_model(self._model.handle, params)
        if not self._context:
            self._model.close()
            raise ModelLoadFailed(f"llama.cpp could not make a context of {path}: {library.take_error()}.")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._context_length = context_length
        self._batch = llama_cpp.llama_batch_init(context_length, 0, 1)

    def encode(self, text: str) -> list[int]:
        """Ids by llama.cpp's own tokenizer, with what belongs around a text; names of control tokens are text."""
        return list(self.tokenizer.encode(text, parse_special=False))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, with U+FFFD for bytes that are no UTF-8."""
        return b"".join(self.tokenizer.token_bytes(token) for token in tokens).decode("utf-8", "replace")

    def logits(self, tokens: Sequence[int]) -> FloatArray:
        """Logits after each of the tokens of one sequence: shape (len(tokens), vocabulary)."""
        llama_cpp.llama_memory_clear(self._memory, True)
        return self._decode(tokens, 0)

    def greedy(self, tokens: Sequence[int], count: int) -> list[int]:
        """The `count` likeliest tokens that follow, one after the other."""
        row = self.logits(tokens)[-1]
        found = [int(row.argmax())]
        while len(found) < count:
            row = self._decode(found[-1:], len(tokens) + len(found) - 1)[-1]
            found.append(int(row.argmax()))
        return found

    def _decode(self, tokens: Sequence[int], position: int) -> FloatArray:
        if position + len(tokens) > self._context_length:  # llama.cpp would abort the process
            raise InferenceFailed(f"{position + len(tokens)} tokens do not fit a context of {self._context_length}.")
        batch = self._batch
        for offset, token in enumerate(tokens):
            batch.token[offset] = token
            batch.pos[offset] = position + offset
            batch.n_seq_id[offset] = 1
            batch.seq_id[offset][0] = 0
            batch.logits[offset] = 1
        batch.n_tokens = len(tokens)
        threads = self._governor.threads()
        llama_cpp.llama_set_n_threads(self._context, threads, threads)
        status = llama_cpp.llama_decode(self._context, batch)
        if status != 0:
            raise InferenceFailed(f"llama.cpp failed (status {status}): {library.take_error() or 'no reason given'}.")
        shape = (len(tokens), self.vocabulary_size)
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._context), shape).copy()

    def close(self) -> None:
        """Give the memory back. Calling it twice is harmless."""
        if self._context:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._context)
            self._context = None
        self._model.close()
