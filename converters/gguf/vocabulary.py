"""llama.cpp's own tokenizer over the vocabulary of a GGUF, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_cpp

from runtime.backends.llama import library
from runtime.backends.llama.tokenizer import LlamaTokenizer
from runtime.errors import ModelLoadFailed


@contextmanager
def open_vocabulary(path: Path) -> Iterator[LlamaTokenizer]:
    """Load the vocabulary of a GGUF whose header has been checked.

    Raises:
        ModelLoadFailed: llama.cpp refused it.
    """
    library.initialise()
    library.take_error()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(bytes(path), params)
    if not model:
        raise ModelLoadFailed(f"llama.cpp could not read the vocabulary of {path}: {library.take_error()}.")
    try:
        yield LlamaTokenizer(llama_cpp.llama_model_get_vocab(model))
    finally:
        llama_cpp.llama_model_free(model)
