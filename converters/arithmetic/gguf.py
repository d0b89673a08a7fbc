"""LoRAs merged straight into a GGUF: the matrices that they change are quantized anew, all else is copied."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from converters.adapters.artefact import write_adapter
from converters.adapters.peft import Adapter, read_adapter
from converters.arithmetic.changes import read_changes
from converters.arithmetic.known import base_in
from converters.arithmetic.proof import prove
from converters.arithmetic.requantize import Changed, require_types
from converters.checkpoint import TOKENIZER_FILE, locate
from converters.files import require_free, require_other, require_space, temporary_beside
from converters.manifest import Manifest, derived, write_manifest
from converters.progress import StepProgress
from converters.tokenizer_source import TokenizerSource
from runtime.errors import ConversionRefused, InvalidRequest
from runtime.models.adapter import check_adapter
from runtime.models.encoding import encoding_of
from runtime.models.files import NoProgress, Progress, sha256_of
from runtime.models.gguf_copy import entries_of, write_copy
from runtime.models.gguf_format import StringArray
from runtime.models.gguf_format import parse as parse_gguf
from runtime.models.header import Header
from runtime.models.inspect import check_loadable, read_header
from runtime.models.name import MODEL_SUFFIX


def merge_gguf(
    source: Path,
    adapters: Sequence[str],
    scales: Sequence[float],
    output: Path,
    base: str | None,
    progress: Progress,
    steps: StepProgress,
    *,
    verify: bool,
    force: bool,
) -> Manifest:
    """Write `source` with adapters, each times its scale: GGUF files, or PEFT's of the checkpoint `base`.

    Raises:
        InvalidRequest: the output is read, or the model gives no text.
        ModelNotFound, DownloadFailed, ConfigurationInvalid: an adapter or its base cannot be found.
        ModelFileInvalid, UnsupportedArchitecture: the source is no model that can be run, or an adapter is not for it.
        ConversionRefused: an adapter cannot be merged so, the file cannot be written, or it is no better than the base.
    """
    file = parse_gguf(source)
    header = Header(source, file.version, file.alignment, file.metadata, file.tensors, file.file_size)
    check_loadable(header)
    if encoding_of(header) is not None:
        raise InvalidRequest(f"{source} gives vectors or scores; only models that give text take adapters.")
    require_other(output, [source, *map(Path, adapters)])
    require_free(output, force=force)
    notes: list[str] = []
    with _as_gguf(adapters, base, header, notes) as paths:
        parts = list(zip(paths, scales, strict=True))
        changes = read_changes(parts)
        require_types([file.tensors[name] for name in changes])
        require_space(output, file.file_size)
        changed = {name: Changed(source, file.tensors[name], change) for name, change in changes.items()}
        with temporary_beside(output) as temporary:
            blocks = {name: each.blocks for name, each in changed.items()}
            entries = entries_of(source, file)
            write_copy(temporary, source, file, entries, {}, progress, title=output.name, changed=blocks)
            written = read_header(temporary)
            check_loadable(written)
            proof = prove(source, parts, temporary, steps) if verify else None
            facts: dict[str, Any] = {
                "kind": "adapters",
                "adapters": [_facts(*each) for each in zip(adapters, paths, scales, strict=True)],
                "tensors": [asdict(each.loss) for each in changed.values()],
                "proof": asdict(proof) if proof is not None else None,
            }
            manifest = derived(source, temporary, written.quantization, notes, name=output.name, merge=facts)
    write_manifest(output, manifest)
    return manifest


@contextmanager
def _as_gguf(adapters: Sequence[str], base: str | None, header: Header, notes: list[str]) -> Iterator[list[Path]]:
    """The adapters as files that were checked; PEFT's are converted into a folder that goes away."""
    with ExitStack() as stack:
        paths = []
        for name in adapters:
            path = Path(name).expanduser()
            if not name.casefold().endswith(MODEL_SUFFIX):
                adapter = read_adapter(*locate(name))
                _check_tokens(adapter, header)
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="demotic-"))
                path = Path(folder) / f"{adapter.origin.name}{MODEL_SUFFIX}"
                notes += write_adapter(adapter, base or base_in(header), path, "f32", NoProgress()).notes
            check_adapter(path, header)
            notes += _named_otherwise(path, header)
            paths.append(path)
        yield paths


def _check_tokens(adapter: Adapter, header: Header) -> None:
    """Refuse an adapter that changes rows of tokens where its tokenizer has other tokens than the file."""
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    has_rows = any(lora.is_embedding or lora.module.endswith(("lm_head", "embed_out")) for lora in adapter.loras)
    if not (has_rows and adapter.has_tokenizer and isinstance(tokens, StringArray)):
        return
    path = adapter.folder / TOKENIZER_FILE
    own = TokenizerSource(str(path), path.read_text(encoding="utf-8")).tokens()
    if number := sum(index >= len(tokens) or tokens[index] != text for index, text in own.items()):
        raise ConversionRefused(
            f"{adapter.folder} changes rows of another vocabulary than that of {header.path.name}: {number:,} of its "
            "tokens are others there.",
            remedy="Give the base that it was trained on.",
        )


def _named_otherwise(adapter: Path, header: Header) -> list[str]:
    """A sentence where an adapter names another base than what the file calls itself."""
    named = read_header(adapter).text("general.base_model.0.name")
    own = header.text("general.name") or header.path.stem
    if named is None:
        return []
    one, other = ("".join(filter(str.isalnum, text.casefold())) for text in (named, own))
    if one in other or other in one:
        return []
    return [f"The adapter {adapter.name} names {named:.80} as its base; it was merged into {own:.80}."]


def _facts(name: str, path: Path, scale: float) -> Mapping[str, Any]:
    return {"made_from": Path(name).name, "sha256": sha256_of(path), "scale": scale}
