"""An adapter as a GGUF of its own, which a server reads beside the model: file and manifest."""

from __future__ import annotations

from pathlib import Path

import gguf

from converters.adapters.lora import lora_outputs
from converters.adapters.peft import Adapter
from converters.architectures.base import Value
from converters.architectures.options import Options
from converters.architectures.registry import architecture_of
from converters.card import Card, read_card
from converters.checkpoint import Checkpoint, open_base
from converters.files import require_space, temporary_beside
from converters.gguf.write import DIRECT_TYPES, file_type, plan, write_gguf
from converters.manifest import Manifest, made_from, source_files
from runtime.errors import ConversionRefused
from runtime.models.files import Progress
from runtime.models.name import HUB_PREFIX, is_hub_repository

_SAY_BASE = "Say which it is: --base FOLDER or --base hf:org/repo."


def write_adapter(
    adapter: Adapter, base: str | Checkpoint | None, path: Path, type_name: str, progress: Progress
) -> Manifest:
    """Write the file at `path`; `base` None for the model that the adapter names.

    Raises:
        ModelNotFound, DownloadFailed, ConfigurationInvalid: the base cannot be found.
        UnsupportedArchitecture, ConversionRefused: the base is not converted, or the adapter cannot be written so.
    """
    if type_name not in DIRECT_TYPES:
        raise ConversionRefused(
            f"An adapter is not written as {type_name.upper()}.", remedy=f"Choose of {', '.join(DIRECT_TYPES)}."
        )
    known = base if isinstance(base, Checkpoint) else open_base(base or _named_base(adapter), progress)
    architecture = architecture_of(known, Options())
    notes: list[str] = []
    outputs, alpha = lora_outputs(adapter, architecture, notes)
    planned = plan(outputs, type_name, notes)
    require_space(path, sum(each.num_bytes for each in planned))
    card = read_card(adapter.folder, adapter.origin)
    named = (adapter.settings.base,) if adapter.settings.base else ()
    card = Card(card.license, card.license_name, card.license_link, card.languages, named or card.base_models)
    metadata: dict[str, Value] = {
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(alpha),
        "general.name": adapter.origin.name,
        "general.file_type": file_type(type_name),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
        **card.metadata(),
    }
    with temporary_beside(path) as temporary:
        written = write_gguf(temporary, architecture.name, metadata, planned, progress, title=path.name)
    return made_from(
        adapter.origin,
        card,
        file=path.name,
        size=written.size,
        sha256=written.sha256,
        architecture=architecture.name,
        type_name=type_name.upper(),
        sources=source_files(adapter.folder, [adapter.weight_file]),
        notes=notes,
    )


def _named_base(adapter: Adapter) -> str:
    """The base that the adapter names: a folder here, or a repository of the hub."""
    settings = adapter.settings
    if settings.base is None:
        raise ConversionRefused(f"{settings.where} names no base.", remedy=_SAY_BASE)
    if Path(settings.base).is_dir():
        return settings.base
    if not is_hub_repository(settings.base):
        raise ConversionRefused(
            f"{settings.where} names {settings.base:.200} as its base, which is not here.",
            remedy=_SAY_BASE,
        )
    return f"{HUB_PREFIX}{settings.base}" + (f"@{settings.revision}" if settings.revision else "")
