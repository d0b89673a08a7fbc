"""The way from a file, or a folder of graphs, to what computes it: chooses the backend and imports only that one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.backends.base import Decoder, Encoder
from runtime.errors import Cancelled
from runtime.hardware.plan import Plan
from runtime.hardware.retreat import load_or_retreat
from runtime.models.encoding import Encoding
from runtime.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class LoadedDecoder:
    """A decoder, the tokenizer of its model, how to give both back, and how they are run."""

    decoder: Decoder
    tokenizer: Tokenizer
    close: Callable[[], None]
    plan: Plan


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder, the tokenizer of its model, how to give both back, and how they are run."""

    encoder: Encoder
    tokenizer: Tokenizer
    close: Callable[[], None]
    plan: Plan


def load_decoder(path: Path, plan: Plan, *, progress: Callable[[float], bool] | None = None) -> LoadedDecoder:
    """Load the model at `path`, which is a folder where it is one of graphs, and has been checked, as `plan` says.

    Where cards have less room than the plan says, less is put on them. `progress` is told the share loaded, 0 to 1;
    where it returns False the loading stops.

    Raises:
        ModelLoadFailed: the backend refused the model or the plan; CardFailed where even half of the layers
            that fitted had no room.
        ModelFileInvalid: graphs or the tokenizer beside them are damaged, or do not belong together.
        Cancelled: `progress` stopped it.
    """
    if path.is_dir():
        return load_or_retreat(plan, lambda plan: _load_onnx_decoder(path, plan, progress))
    from runtime.backends.llama.decoder import LlamaDecoder
    from runtime.backends.llama.model import LlamaModel
    from runtime.backends.llama.offload import fit_layers
    from runtime.backends.llama.seq2seq import LlamaEncoderDecoder

    def decoder_of(model: LlamaModel, plan: Plan) -> LlamaDecoder:
        return LlamaEncoderDecoder(model, plan) if model.has_encoder else LlamaDecoder(model, plan)

    def load(plan: Plan) -> LoadedDecoder:
        model = LlamaModel(path, gpu_layers=plan.gpu_layers, progress=progress)
        try:
            decoder = decoder_of(model, plan)
        except BaseException:
            model.close()
            raise

        def close() -> None:
            decoder.close()
            model.close()

        return LoadedDecoder(decoder, model.tokenizer, close, plan)

    return load_or_retreat(fit_layers(path, plan, lambda model, plan: decoder_of(model, plan).close), load)


def load_encoder(
    path: Path, plan: Plan, encoding: Encoding, *, progress: Callable[[float], bool] | None = None
) -> LoadedEncoder:
    """Load the model at `path`, which is a folder where it is one of graphs, for what `encoding` says of it.

    `progress` is as for a decoder.

    Raises:
        ModelLoadFailed, Cancelled: as for a decoder.
        ModelFileInvalid: graphs or the tokenizer beside them are damaged, or do not belong together.
    """
    if path.is_dir():
        return load_or_retreat(plan, lambda plan: _load_onnx_encoder(path, plan, progress))
    from runtime.backends.llama.encoder import LlamaEncoder
    from runtime.backends.llama.model import LlamaModel
    from runtime.backends.llama.offload import fit_layers

    def load(plan: Plan) -> LoadedEncoder:
        model = LlamaModel(path, gpu_layers=plan.gpu_layers, progress=progress)
        try:
            encoder = LlamaEncoder(model, plan, encoding)
        except BaseException:
            model.close()
            raise

        def close() -> None:
            encoder.close()
            model.close()

        return LoadedEncoder(encoder, model.tokenizer, close, plan)

    return load_or_retreat(fit_layers(path, plan, lambda model, plan: LlamaEncoder(model, plan, encoding).close), load)


def _load_onnx_encoder(path: Path, plan: Plan, progress: Callable[[float], bool] | None) -> LoadedEncoder:
    from runtime.backends.onnx.encoder import OnnxEncoder
    from runtime.backends.onnx.tokenizer import load_tokenizer
    from runtime.models.onnx_folder import read_folder

    folder = read_folder(path)
    tokenizer = load_tokenizer(folder)
    if progress is not None and not progress(0.5):
        raise Cancelled(f"Loading {folder.name} was stopped.")
    encoder = OnnxEncoder(folder, plan)
    if progress is not None:
        progress(1.0)
    return LoadedEncoder(encoder, tokenizer, encoder.close, plan)


def _load_onnx_decoder(path: Path, plan: Plan, progress: Callable[[float], bool] | None) -> LoadedDecoder:
    from runtime.backends.onnx.decoder import OnnxDecoder
    from runtime.backends.onnx.seq2seq import OnnxEncoderDecoder
    from runtime.backends.onnx.tokenizer import load_tokenizer
    from runtime.models.onnx_folder import read_folder

    folder = read_folder(path)
    tokenizer = load_tokenizer(folder)
    if progress is not None and not progress(0.5):
        raise Cancelled(f"Loading {folder.name} was stopped.")
    decoder = OnnxEncoderDecoder(folder, plan) if folder.has_encoder else OnnxDecoder(folder, plan)
    if progress is not None:
        progress(1.0)
    return LoadedDecoder(decoder, tokenizer, decoder.close, plan)
