"""A GGUF's weights and vocabulary, loaded once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp

from runtime.backends.llama import library
from runtime.backends.llama.tokenizer import tokenizer_of
from runtime.errors import Cancelled, ModelLoadFailed
from runtime.hardware.plan import Plan
from runtime.hardware.retreat import no_room, tells_of
from runtime.models.header import EMBEDDED_KEY


class LlamaModel:
    """Weights mapped from the file, and the tokenizer that belongs to them."""

    def __init__(
        self,
        path: Path,
        *,
        gpu_layers: int = 0,
        progress: Callable[[float], bool] | None = None,
        is_dry: bool = False,
    ) -> None:
        """Load `path`, whose header has been checked (`runtime/models/inspect.py`).

        `progress` is told the share loaded, 0 to 1; where it returns False the loading stops. One that `is_dry` has no
        weights: contexts of it tell what they would take, and take nothing.

        Raises:
            ModelLoadFailed: llama.cpp refused the file; CardFailed where a card has no room for it.
            Cancelled: `progress` stopped it.
        """
        library.initialise()
        stopped = False

        @llama_cpp.llama_progress_callback  # type: ignore[untyped-decorator]  # a ctypes function type
        def on_progress(share: float, _user_data: object) -> bool:
            nonlocal stopped
            stopped = progress is not None and not progress(share)
            return not stopped

        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        # A list of no devices: else a card would still compute long prompts for the processor's layers.
        no_devices = (ctypes.c_void_p * 1)(None)
        if gpu_layers == 0:
            params.devices = ctypes.addressof(no_devices)
        params.progress_callback = on_progress
        if is_dry:
            params.no_alloc = True
            params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        library.take_error()
        self.handle = llama_cpp.llama_model_load_from_file(bytes(path), params)
        if stopped:
            raise Cancelled(f"Loading {path.name} was stopped.")
        if not self.handle:
            reason = library.take_error() or "no reason given"
            if gpu_layers and tells_of([reason]):
                raise no_room(path.name, reason)
            raise ModelLoadFailed(
                f"llama.cpp could not load {path}: {reason}.", remedy="Fetch the file again, or convert it anew."
            )
        self.name = path.name
        self.has_encoder = bool(llama_cpp.llama_model_has_encoder(self.handle))
        vocabulary = llama_cpp.llama_model_get_vocab(self.handle)
        try:
            self.tokenizer = tokenizer_of(
                vocabulary, has_encoder=self.has_encoder, embedded=self.metadata(EMBEDDED_KEY)
            )
        except BaseException:
            self.close()
            raise
        start = llama_cpp.llama_model_decoder_start_token(self.handle)
        # T5's answers begin with padding; files may leave that unsaid.
        self.decoder_start = start if start >= 0 else llama_cpp.llama_vocab_pad(vocabulary)

    def new_context(self, params: Any, plan: Plan) -> Any:
        """A context of llama.cpp with these parameters, which `plan` gave.

        Raises:
            ModelLoadFailed: llama.cpp refused them; CardFailed where a card has no room for its buffers.
        """
        library.take_error()
        context = llama_cpp.llama_init_from_model(self.handle, params)
        if context:
            return context
        reason = library.take_error() or "no reason given"
        if plan.gpu_layers and tells_of([reason]):
            raise no_room(self.name, reason)
        raise ModelLoadFailed(
            f"llama.cpp could not make a context of {plan.num_cells} tokens: {reason}.",
            remedy="Ask for a smaller context.",
        )

    def metadata(self, key: str) -> str:
        """A metadata value as text, numbers in decimal; '' where the file has none of that key."""
        length = 0
        # The first time it is only asked how long it is.
        for _ in range(2):
            buffer = ctypes.create_string_buffer(length + 1)
            length = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
            if length < 0:
                return ""
        return buffer.value.decode("utf-8", "replace")

    def close(self) -> None:
        """Free the weights. Calling it twice is harmless."""
        if self.handle:
            llama_cpp.llama_model_free(self.handle)
            self.handle = None
