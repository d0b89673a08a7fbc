"""What differs from format to format: how a model is opened, written with fewer rows, and computed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from converters.adapt.held_out import Reads
from converters.adapt.proof import Compare, Effort
from converters.adapt.request import Request
from converters.adapt.selection import Selection
from converters.adapt.vocabulary import Vocabulary
from converters.checkpoint import choose_weights
from converters.manifest import Manifest
from runtime.models.files import Progress
from runtime.text.tokenizer import Tokenizer


class Written(Protocol):
    """What was written, under a hidden name beside the final one."""

    @property
    def num_bytes(self) -> int:
        """Its size."""

    def readers(self) -> AbstractContextManager[Sequence[tuple[Reads, Reads]]]:
        """The source's tokenizers and those of what was written, pair by pair: all that will read texts with it."""

    def compared(self, effort: Effort) -> AbstractContextManager[Compare]:
        """Both, loaded to be computed."""

    def describe(self, trim: dict[str, Any]) -> Manifest:
        """The manifest, with the report `trim` in it, which is written when the model gets its name."""


class Opened(Protocol):
    """A model whose vocabulary is to be trimmed, which has been checked together with where it goes to."""

    @property
    def views(self) -> Sequence[Vocabulary]:
        """The vocabularies that its texts are read by, over the same ids; the model's own first."""

    @property
    def tokenizer(self) -> Tokenizer:
        """What the runtime reads texts with."""

    @property
    def referred(self) -> frozenset[int]:
        """The ids that its files refer to."""

    @property
    def texts(self) -> Sequence[str]:
        """What its chat templates write by themselves."""

    @property
    def num_bytes(self) -> int:
        """Its size."""

    @property
    def adapters(self) -> tuple[Path, ...]:
        """What the adapters that are asked for become, beside it."""

    def write(self, selection: Selection, progress: Progress) -> AbstractContextManager[Written]:
        """Write it with these rows; where the context ends without a fault it gets its name, else nothing is left.

        Raises:
            ConversionRefused: it cannot be written.
        """


def open_model(request: Request) -> AbstractContextManager[Opened]:
    """Open the source that is asked for: a GGUF, a folder of graphs, or a checkpoint.

    Raises:
        InvalidRequest: something asked for does not go with this format, or would overwrite what is read.
        ModelFileInvalid, UnsupportedArchitecture: the source is no model that can be run, or an adapter is not for it.
        ConversionRefused: the vocabulary cannot be trimmed, or the target's name is taken.
    """
    if _is_checkpoint(request.source):
        from converters.adapt.format_checkpoint import open_folder

        return open_folder(request)
    if request.source.is_dir():
        from converters.adapt.format_onnx import open_onnx

        return open_onnx(request)
    from converters.adapt.format_gguf import open_gguf

    return open_gguf(request)


def packages_of(source: Path, *, verify: bool) -> tuple[str, ...]:
    """What trimming needs beyond what every installation has: an extra, and packages of it."""
    if not source.is_dir():
        return ("trim",)
    if not _is_checkpoint(source):
        return ("trim", "onnx")
    is_pickled = next(source.glob("*.bin"), None) is not None
    return ("convert", *(("torch", "transformers") if verify else ("torch",) if is_pickled else ()))


def _is_checkpoint(source: Path) -> bool:
    """Whether it is a folder with weights; graphs may lie in it, too."""
    return source.is_dir() and choose_weights({path.name for path in source.iterdir()}) is not None
