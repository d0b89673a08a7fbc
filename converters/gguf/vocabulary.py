"""The tokenizers over the vocabulary of a GGUF, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import llama_cpp

from runtime.backends.llama import library
from runtime.backends.llama.tokenizer import LlamaTokenizer, tokenizer_of
from runtime.errors import ModelLoadFailed
from runtime.models.header import EMBEDDED_KEY
from runtime.models.inspect import read_header
from runtime.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Vocabulary:
    """`own` is llama.cpp's own tokenizer, which other programs use; `read` the one that the runtime uses."""

    own: LlamaTokenizer
    read: Tokenizer


@contextmanager
def open_vocabulary(path: Path) -> Iterator[Vocabulary]:
    """Load the vocabulary of a GGUF whose header has been checked.

    Raises:
        ModelLoadFailed: llama.cpp refused it, or the tokenizer.json inside cannot be used.
    """
    embedded = read_header(path).metadata.get(EMBEDDED_KEY)
    library.initialise()
    library.take_error()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(bytes(path), params)
    if not model:
        raise ModelLoadFailed(f"llama.cpp could not read the vocabulary of {path}: {library.take_error()}.")
    try:
        vocabulary = llama_cpp.llama_model_get_vocab(model)
        has_encoder = bool(llama_cpp.llama_model_has_encoder(model))
        read = tokenizer_of(vocabulary, has_encoder=has_encoder, embedded=embedded if isinstance(embedded, str) else "")
        yield Vocabulary(LlamaTokenizer(vocabulary), read)
    finally:
        llama_cpp.llama_model_free(model)
