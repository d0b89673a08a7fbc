"""An adapter as PEFT saves it: a folder, or a repository of the hub, with adapter_config.json and adapter_model.

Names in the file: `base_model.model.MODULE.lora_A.weight` and so on (peft/utils/save_and_load.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from converters.adapters.settings import Settings, read_settings
from converters.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    TOKENIZER_FILE,
    Origin,
    is_adapter,
    locate,
    read_json,
    reader_of,
)
from converters.config import Config
from converters.tensors import Tensor
from runtime.errors import ConversionRefused
from runtime.models.files import Progress

_PREFIX = "base_model.model."
_BASE = ".base_layer."  # a module of the base inside of the adapter's
_TOKENS = ".token_adapter.trainable_tokens_delta"
_A, _B, _BIAS = ".lora_A.weight", ".lora_B.weight", ".lora_B.bias"
_EMBEDDING_A, _EMBEDDING_B = ".lora_embedding_A", ".lora_embedding_B"
_MAGNITUDE = ".lora_magnitude_vector"


@dataclass(frozen=True)
class Lora:
    """What is added to the weight of one module: scale times the product of two matrices.

    a: shape (rank, inputs), of an embedding (rank, rows). b: shape (outputs, rank), of an embedding (width, rank).
    bias: what is added to the module's bias, before the scale; shape (outputs).
    magnitude: DoRA's length of the weights of each output; shape (outputs).
    """

    module: str
    a: Tensor
    b: Tensor
    scale: float
    is_embedding: bool
    bias: Tensor | None = None
    magnitude: Tensor | None = None

    @property
    def rank(self) -> int:
        """Rows of `a` and columns of `b`."""
        return self.a.shape[0]


@dataclass(frozen=True)
class Adapter:
    """An adapter whose files are on this machine.

    loras: what is added. saved: whole weights by the base's names. tokens: rows of embeddings by their modules.
    """

    folder: Path
    origin: Origin
    settings: Settings
    weight_file: Path
    loras: tuple[Lora, ...]
    saved: Mapping[str, Tensor] = field(default_factory=dict)
    tokens: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def has_tokenizer(self) -> bool:
        """Whether it brings a tokenizer of its own."""
        return (self.folder / TOKENIZER_FILE).is_file()


def open_adapter(source: str, progress: Progress | None = None) -> Adapter:
    """Find an adapter's files, fetching them where they are on the hub, and read the table of its weights.

    Raises:
        ModelNotFound, InvalidRequest, DownloadFailed, ConfigurationInvalid: as `checkpoint.locate`.
        ConversionRefused: it is no adapter, of a kind that is not converted, damaged, or wants to run code.
    """
    return read_adapter(*locate(source, progress))


def read_adapter(folder: Path, origin: Origin) -> Adapter:
    """The adapter in a folder; raises as `open_adapter`."""
    names = {path.name for path in folder.iterdir()}
    if not is_adapter(names):
        found = "a whole model" if ADAPTER_CONFIG in names else f"no {ADAPTER_CONFIG}"
        raise ConversionRefused(
            f"{folder} has {found}, so it is no adapter.", remedy="Give the folder that PEFT saved the adapter in."
        )
    settings = read_settings(Config(read_json(folder / ADAPTER_CONFIG), str(folder / ADAPTER_CONFIG)))
    file = next((name for name in ADAPTER_WEIGHTS if name in names), None)
    if file is None:
        raise ConversionRefused(
            f"{folder} has no weights: neither {' nor '.join(ADAPTER_WEIGHTS)}.", remedy="Get the adapter again."
        )
    stored = {name.removeprefix(_PREFIX): tensor for name, tensor in reader_of(file)(folder / file).items()}
    loras = tuple(_lora(stored, name, settings) for name in list(stored) if name.endswith((_A, _EMBEDDING_A)))
    tokens = {name.removesuffix(_TOKENS): stored.pop(name) for name in list(stored) if name.endswith(_TOKENS)}
    if unknown := [name for name in stored if ".lora_" in name or not name.endswith((".weight", ".bias"))]:
        raise ConversionRefused(
            f"{folder / file} has {len(unknown)} tensors that belong to no LoRA, such as '{unknown[0]:.120}'."
        )
    saved = {name.replace(_BASE, "."): tensor for name, tensor in stored.items()}
    if not (loras or tokens or saved):
        raise ConversionRefused(f"{folder / file} changes nothing.", remedy="Get the adapter again.")
    return Adapter(folder, origin, settings, folder / file, loras, saved, tokens)


def _lora(stored: dict[str, Tensor], name: str, settings: Settings) -> Lora:
    """Take the tensors of one module out of `stored`."""
    is_embedding = name.endswith(_EMBEDDING_A)
    ends = (_EMBEDDING_A, _EMBEDDING_B) if is_embedding else (_A, _B)
    module = name.removesuffix(ends[0])
    a, b = stored.pop(name), stored.pop(module + ends[1], None)
    if b is None:
        raise ConversionRefused(f"{settings.where} has only one of the two matrices for '{module}'.")
    rank = settings.rank_of(module)
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != rank or b.shape[1] != rank:
        raise ConversionRefused(
            f"{settings.where} says rank {rank} for '{module}', whose matrices have the shapes {list(a.shape)} and "
            f"{list(b.shape)}.",
            remedy="Get the adapter again.",
        )
    magnitude = stored.pop(module + _MAGNITUDE, None) or stored.pop(f"{module}{_MAGNITUDE}.weight", None)
    if (magnitude is not None) != settings.is_dora:
        raise ConversionRefused(f"{settings.where} and its weights do not agree on DoRA for '{module}'.")
    return Lora(module, a, b, settings.scale_of(module), is_embedding, stored.pop(module + _BIAS, None), magnitude)
