"""Encoder-decoders written and computed without the runtime: llama.cpp's C API alone."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import torch

from converters.architectures.options import Options
from converters.architectures.registry import architecture_of
from converters.checkpoint import open_checkpoint
from converters.gguf.write import file_type, plan, write_gguf
from converters.tokenizers import read_tokenizer
from runtime.backends.llama import library
from runtime.models.files import NoProgress

CONTEXT = 256


def written(folder: Path, path: Path) -> Path:
    """The GGUF of a checkpoint in float32, as `convert` writes it before it checks it."""
    checkpoint = open_checkpoint(str(folder))
    architecture = architecture_of(checkpoint, Options())
    metadata = {
        "general.file_type": file_type("f32"),
        **{f"{architecture.name}.{key}": value for key, value in architecture.hyperparameters().items()},
        **read_tokenizer(checkpoint, architecture.vocabulary_size).entries,
    }
    write_gguf(
        path, architecture.name, metadata, plan(architecture.outputs(), "f32", []), NoProgress(), title=path.name
    )
    return path


class Computed:
    """An encoder-decoder in llama.cpp. It must be closed."""

    def __init__(self, path: Path, lora: Path | None = None) -> None:
        library.initialise()
        model_params = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(bytes(path), model_params)
        assert self._model, library.take_error()
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = CONTEXT
        params.n_threads = params.n_threads_batch = 1
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if lora is not None:
            handles = [llama_cpp.llama_adapter_lora_init(self._model, bytes(lora))]
            assert handles[0], library.take_error()
            pointers = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(*handles)
            assert llama_cpp.llama_set_adapters_lora(self._context, pointers, 1, (ctypes.c_float * 1)(1.0)) == 0
        self._batch = llama_cpp.llama_batch_init(CONTEXT, 0, 1)
        self._rows = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Any:
        """Logits after each token of the target."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        assert llama_cpp.llama_encode(self._context, self._filled(source)) == 0
        assert llama_cpp.llama_decode(self._context, self._filled(target)) == 0
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._context), (len(target), self._rows)).copy()

    def _filled(self, tokens: Sequence[int]) -> Any:
        for at, token in enumerate(tokens):
            self._batch.token[at], self._batch.pos[at], self._batch.n_seq_id[at] = token, at, 1
            self._batch.seq_id[at][0], self._batch.logits[at] = 0, 1
        self._batch.n_tokens = len(tokens)
        return self._batch

    def close(self) -> None:
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)


def wanted_logits(model: Any, source: Sequence[int], target: Sequence[int]) -> Any:
    """The same by transformers."""
    with torch.no_grad():
        inputs, outputs = torch.tensor([list(source)]), torch.tensor([list(target)])
        return model(input_ids=inputs, decoder_input_ids=outputs).logits[0].numpy()
