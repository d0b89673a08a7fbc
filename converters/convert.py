"""From a checkpoint, or an adapter, to a GGUF: read, check, write, compare the tokenizers, rename, tell.

Everything that can be refused is refused before the first byte is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gguf

from converters.adapters.artefact import write_adapter
from converters.adapters.merge import merged
from converters.adapters.peft import Adapter, open_adapter, read_adapter
from converters.adapters.provenance import card_with, facts_of
from converters.architectures.base import Architecture, Value
from converters.architectures.options import Options
from converters.architectures.registry import architecture_of
from converters.card import Card, read_card
from converters.checkpoint import Checkpoint, is_adapter, locate, read_checkpoint
from converters.files import require_free, require_space, scratch_beside, temporary_beside
from converters.gguf.quantize import Quantization, check_request, quantize
from converters.gguf.write import (
    DIRECT_TYPES,
    Planned,
    Written,
    file_type,
    plan,
    write_gguf,
)
from converters.manifest import Manifest, made_from, source_files, write_manifest
from converters.token_check import check_tokens
from converters.tokenizers import Tokenizer, read_tokenizer
from converters.verify import verify
from runtime.errors import ConversionRefused, DemoticError, InvalidRequest
from runtime.models.files import NoProgress, Progress, sha256_of
from runtime.models.inspect import check_loadable, read_header

_TYPE, _ADAPTER_TYPE = "f16", "f32"
# By what a config says that the weights are in.
_WHOLE = {"bfloat16": "bf16", "float16": "f16"}


@dataclass(frozen=True)
class Request:
    """What is to be converted: `source` as a person names it, `output` None for a name made from the source's.

    type: None for F16, of an adapter for F32.
    adapter: what to merge into the weights before.
    base: the model of an adapter that is the source, where that does not name it.
    verify: compute both when it is done, and write into the manifest how near they are.
    """

    source: str
    output: Path | None = None
    type: str | None = None
    adapter: str | None = None
    base: str | None = None
    force: bool = False
    verify: bool = False
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Converted:
    """A finished artefact, its manifest and what to tell of it."""

    path: Path
    manifest_path: Path
    manifest: Manifest


def convert(request: Request, progress: Progress | None = None) -> Converted:
    """Make a GGUF of a checkpoint, perhaps with an adapter merged into it, or of an adapter.

    Raises:
        ModelNotFound: there is no such checkpoint.
        InvalidRequest: something is asked for that this source cannot have.
        UnsupportedArchitecture: its family is not converted.
        ConversionRefused: something about it cannot be converted, or the disk refuses the file.
        DownloadFailed, ConfigurationInvalid: the hub or the cache fails.
    """
    progress = progress or NoProgress()
    folder, origin = locate(request.source, progress)
    if is_adapter({each.name for each in folder.iterdir()}):
        return _convert_adapter(request, read_adapter(folder, origin), progress)
    if request.base is not None:
        raise InvalidRequest(f"{request.source} is no adapter, so it has no base.", remedy="Leave out --base.")
    checkpoint, type_name, notes = read_checkpoint(folder, origin), request.type or _TYPE, list[str]()
    adapter = open_adapter(request.adapter, progress) if request.adapter is not None else None
    name = f"{checkpoint.name}-{adapter.origin.name}" if adapter is not None else checkpoint.name
    path = request.output or Path(f"{name}-{type_name.upper()}.gguf")
    require_free(path, force=request.force)
    if adapter is not None:
        checkpoint = merged(checkpoint, adapter, notes)
    architecture = architecture_of(checkpoint, request.options)
    hyperparameters = architecture.hyperparameters()
    outputs = architecture.outputs()
    tokenizer = read_tokenizer(checkpoint, architecture.vocabulary_size)
    notes += [*architecture.notes, *tokenizer.notes]
    stored_type = _stored_type(checkpoint, type_name)
    planned = plan(outputs, stored_type, notes)
    require_space(path, sum(each.num_bytes for each in planned))
    card = read_card(checkpoint.folder, checkpoint.origin)
    if adapter is not None:
        card = card_with(card, adapter, checkpoint, notes)
    metadata: dict[str, Value] = {
        "general.type": "model",
        "general.name": name,
        "general.file_type": file_type(stored_type),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
        **card.metadata(),
        **{f"{architecture.name}.{key}": value for key, value in hyperparameters.items()},
        **tokenizer.entries,
        **architecture.tokenizer_entries(),
    }
    with temporary_beside(path) as temporary:
        if stored_type == type_name:
            written = write_gguf(temporary, architecture.name, metadata, planned, progress, title=path.name)
        else:
            written = _quantized(
                temporary, architecture.name, metadata, planned, progress, type_name, notes, title=path.name
            )
        tokens = _check(temporary, path, tokenizer, notes)
    manifest = _manifest(checkpoint, architecture, card, written, path, type_name, tokens, notes)
    if adapter is not None:
        manifest = replace(manifest, adapter=facts_of(adapter))
    if request.verify:
        manifest = replace(manifest, parity=verify(checkpoint, str(path), progress).as_dict())
    return Converted(path, write_manifest(path, manifest), manifest)


def _convert_adapter(request: Request, adapter: Adapter, progress: Progress) -> Converted:
    asked = {
        "--adapter": request.adapter is not None,
        "--verify": request.verify,
        "--pooling": request.options.pooling is not None,
        "--reranker": request.options.is_reranker,
    }
    if wrong := [option for option, is_asked in asked.items() if is_asked]:
        raise InvalidRequest(
            f"{request.source} is an adapter, for which there is no {wrong[0]}.",
            remedy=f"To make a whole model: demotic convert BASE --adapter {request.source}.",
        )
    type_name = request.type or _ADAPTER_TYPE
    path = request.output or Path(f"{adapter.origin.name}-{type_name.upper()}.gguf")
    require_free(path, force=request.force)
    manifest = write_adapter(adapter, request.base, path, type_name, progress)
    return Converted(path, write_manifest(path, manifest), manifest)


def _stored_type(checkpoint: Checkpoint, type_name: str) -> str:
    """The type to write the matrices in: what is asked for, or what holds them whole for llama.cpp's quantizer."""
    if type_name in DIRECT_TYPES:
        return type_name
    check_request(Quantization(type_name.upper()))
    return _WHOLE.get(checkpoint.config.text("dtype", "torch_dtype", default="float32"), "f32")


def _quantized(
    path: Path,
    architecture: str,
    metadata: Mapping[str, Value],
    planned: Sequence[Planned],
    progress: Progress,
    type_name: str,
    notes: list[str],
    *,
    title: str,
) -> Written:
    """Write the whole matrices beside `path`, and quantize that file to it."""
    with scratch_beside(path) as whole:
        write_gguf(whole, architecture, metadata, planned, progress, title=f"{title}, not quantized yet")
        notes += quantize(whole, path, Quantization(type_name.upper()))
    return Written(path.stat().st_size, sha256_of(path))


def _check(temporary: Path, path: Path, tokenizer: Tokenizer, notes: list[str]) -> dict[str, Any]:
    """Hold the finished file against what the runtime asks of one, and its token ids against the source's."""
    try:
        check_loadable(read_header(temporary))
        return check_tokens(temporary, tokenizer, notes)
    except ConversionRefused:
        raise
    except DemoticError as fault:
        raise ConversionRefused(
            f"What came of it cannot be run: {fault.message.replace(str(temporary), str(path))}"
        ) from fault


def _manifest(
    checkpoint: Checkpoint,
    architecture: Architecture,
    card: Card,
    written: Written,
    path: Path,
    type_name: str,
    tokens: dict[str, Any],
    notes: Sequence[str],
) -> Manifest:
    manifest = made_from(
        checkpoint.origin,
        card,
        file=path.name,
        size=written.size,
        sha256=written.sha256,
        architecture=architecture.name,
        type_name=type_name.upper(),
        sources=source_files(checkpoint.folder, checkpoint.weight_files),
        notes=notes,
    )
    return replace(manifest, tokenizer=tokens)
