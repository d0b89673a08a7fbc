"""The way from a file to a decoder or an encoder: chooses the backend and imports only that one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.backends.base import Decoder, Encoder
from runtime.hardware.plan import Plan
from runtime.models.encoding import Encoding
from runtime.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class LoadedDecoder:
    """A decoder, the tokenizer of its model, and how to give both back."""

    decoder: Decoder
    tokenizer: Tokenizer
    close: Callable[[], None]


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder, the tokenizer of its model, and how to give both back."""

    encoder: Encoder
    tokenizer: Tokenizer
    close: Callable[[], None]


def load_decoder(path: Path, plan: Plan, *, progress: Callable[[float], bool] | None = None) -> LoadedDecoder:
    """Load the GGUF at `path`, whose header has been checked, as `plan` says.

    `progress` is told the share loaded, 0 to 1; where it returns False the loading stops.

    Raises:
        ModelLoadFailed: the backend refused the file or the plan.
        Cancelled: `progress` stopped it.
    """
    from runtime.backends.llama.decoder import LlamaDecoder
    from runtime.backends.llama.model import LlamaModel
    from runtime.backends.llama.seq2seq import LlamaEncoderDecoder

    model = LlamaModel(path, gpu_layers=plan.gpu_layers, progress=progress)
    try:
        decoder = LlamaEncoderDecoder(model, plan) if model.has_encoder else LlamaDecoder(model, plan)
    except BaseException:
        model.close()
        raise

    def close() -> None:
        decoder.close()
        model.close()

    return LoadedDecoder(decoder, model.tokenizer, close)


def load_encoder(
    path: Path, plan: Plan, encoding: Encoding, *, progress: Callable[[float], bool] | None = None
) -> LoadedEncoder:
    """Load the GGUF at `path` for what `encoding` says of it; all else, and what is raised, as for a decoder."""
    from runtime.backends.llama.encoder import LlamaEncoder
    from runtime.backends.llama.model import LlamaModel

    model = LlamaModel(path, gpu_layers=plan.gpu_layers, progress=progress)
    try:
        encoder = LlamaEncoder(model, plan, encoding)
    except BaseException:
        model.close()
        raise

    def close() -> None:
        encoder.close()
        model.close()

    return LoadedEncoder(encoder, model.tokenizer, close)
