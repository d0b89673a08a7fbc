"""A folder of graphs to be trimmed, whoever exported it: initializers sliced, and all that tells of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.adapt.folder import (
    MAP_FILE,
    manifest_without,
    read_spec,
    referred_ids,
    trim_entry,
    trimmed_files,
    trimmed_manifest,
    write_map,
)
from converters.adapt.held_out import Reads
from converters.adapt.proof import Compare, Effort, served
from converters.adapt.request import Request
from converters.adapt.selection import Selection
from converters.adapt.tokenizer_json import processor_ids
from converters.adapt.vocabulary import Vocabulary, vocabulary_in
from converters.checkpoint import CONFIG_FILE, Origin
from converters.checkpoint_folder import copy_files
from converters.files import folder_beside, require_free_folder, require_other, require_space
from converters.manifest import Manifest, manifest_of, source_files, write_folder_manifest
from converters.onnx.graph import load_graph, save_graph
from converters.onnx.rows import keep_rows
from runtime.backends.onnx.tokenizer import load_tokenizer
from runtime.errors import ConversionRefused, InvalidRequest
from runtime.models.files import Progress
from runtime.models.name import SETTINGS_FILE
from runtime.models.onnx_folder import MANIFEST_FILE, OnnxFolder, read_folder
from runtime.text.tokenizer import Tokenizer

_TOOLS = ("onnx", "onnxruntime")
# Weights in other forms, and other variants of graphs: they are not trimmed, so they do not come along.
_WEIGHTS = frozenset({".onnx", ".onnx_data", ".data", ".safetensors", ".bin", ".h5", ".msgpack", ".ot", ".pt"})
_POOLING = Path("1_Pooling", "config.json")


@contextmanager
def open_onnx(request: Request) -> Iterator[OnnxModel]:
    """Open a folder of graphs; see `open_model`."""
    if request.adapters:
        raise InvalidRequest(
            "Graphs have no adapters beside them.",
            remedy="Merge it when the checkpoint is converted: demotic convert BASE --to onnx --adapter ADAPTER.",
        )
    folder = read_folder(request.source)
    mark = CONFIG_FILE if folder.settings.layout == "optimum" else SETTINGS_FILE
    require_free_folder(request.output, force=request.force, mark=mark)
    require_other(request.output, (request.source,))
    told = folder.settings.tokenizer
    if told.kind == "bytes":
        raise ConversionRefused(f"{folder.path} has a vocabulary of single bytes: there is nothing to trim.")
    if told.kind == "sentencepiece":
        raise ConversionRefused(
            f"{folder.path} has its pieces in {told.source} and their ids in {told.vocabulary}, which is not trimmed.",
            remedy="Export a checkpoint that has a tokenizer.json.",
        )
    spec = read_spec(folder.path / told.file)
    num_rows = folder.settings.sizes.vocabulary
    referred = referred_ids(folder.path, num_rows) | processor_ids(spec)
    yield OnnxModel(request, folder, (vocabulary_in(spec, num_rows),), load_tokenizer(folder), referred)


@dataclass(frozen=True)
class OnnxModel:
    """`Opened` of a folder of graphs."""

    request: Request
    folder: OnnxFolder
    views: Sequence[Vocabulary]
    tokenizer: Tokenizer
    referred: frozenset[int]
    texts: Sequence[str] = ()  # a folder has no template of conversations
    adapters: tuple[Path, ...] = ()

    @property
    def num_bytes(self) -> int:
        """See `Opened.num_bytes`."""
        return self.folder.file_size

    @contextmanager
    def write(self, selection: Selection, progress: Progress) -> Iterator[WrittenOnnx]:
        """See `Opened.write`."""
        folder, num_rows = self.folder, len(self.views[0])
        graphs = _graphs(folder)
        require_space(self.request.output.resolve(), folder.file_size)
        with folder_beside(self.request.output) as temporary:
            progress.start(f"Writing {self.request.output.name}", folder.file_size)
            try:
                num_changed = sum(_write_graph(folder.path, temporary, name, selection, num_rows) for name in graphs)
                progress.advance(folder.file_size)
            finally:
                progress.finish()
            if not num_changed:
                raise ConversionRefused(f"No weights of {folder.path} have a row for each of {num_rows} tokens.")
            copy_files(temporary, trimmed_files(_others(folder), selection, num_rows))
            write_map(temporary, folder.path, selection)
            trimmed = read_folder(temporary)
            yield WrittenOnnx(self.request, folder, trimmed, self.views[0], selection)


@dataclass(frozen=True)
class WrittenOnnx:
    """`Written` of a folder of graphs."""

    request: Request
    source: OnnxFolder
    trimmed: OnnxFolder
    vocabulary: Vocabulary
    selection: Selection

    @property
    def num_bytes(self) -> int:
        """See `Written.num_bytes`."""
        return self.trimmed.file_size

    @contextmanager
    def readers(self) -> Iterator[Sequence[tuple[Reads, Reads]]]:
        """See `Written.readers`."""
        yield [(load_tokenizer(self.source), load_tokenizer(self.trimmed))]

    @contextmanager
    def compared(self, effort: Effort) -> Iterator[Compare]:
        """See `Written.compared`."""
        folders = self.source, self.trimmed
        longest = min(effort.longest, self.source.trained_context_length or effort.longest)
        paths, encodings = (folders[0].path, folders[1].path), (folders[0].encoding, folders[1].encoding)
        with served(paths, encodings, self.selection.tokens, replace(effort, longest=longest)) as compare:
            yield compare

    def describe(self, trim: dict[str, Any]) -> Manifest:
        """See `Written.describe`."""
        source = self.source
        read = source_files(source.path, [source.path / name for name in _graphs(source)])
        if source.manifest:
            before = manifest_of(source.manifest)
        else:
            before = manifest_without(Origin(source.name), source.path, source.architecture, source.quantization)
        entry = trim_entry(trim, source.path, self.vocabulary, source.manifest)
        name = self.request.output.name
        return write_folder_manifest(self.trimmed.path, trimmed_manifest(before, name, read, entry, _TOOLS))


def _graphs(folder: OnnxFolder) -> list[str]:
    """The files of all graphs, each once."""
    first = folder.settings.first
    return list(dict.fromkeys([*folder.settings.graphs.values(), *([first] if first is not None else [])]))


def _write_graph(source: Path, target: Path, name: str, selection: Selection, num_rows: int) -> int:
    """Write one graph with fewer rows, and return how many weights were sliced."""
    model = load_graph(source / name)
    num_changed = keep_rows(model, selection.tokens.tolist(), num_rows)
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    save_graph(model, target / name)
    return num_changed


def _others(folder: OnnxFolder) -> dict[str, Path | str]:
    """The files that are no weights, by their names, without the manifest."""
    found: dict[str, Path | str] = {}
    for path in sorted(folder.path.iterdir()):
        is_told_anew = path.name in {MANIFEST_FILE, MAP_FILE} or path.name.startswith(".")
        if path.is_file() and path.suffix not in _WEIGHTS and not is_told_anew:
            found[path.name] = path
    if (folder.path / _POOLING).is_file():
        found[_POOLING.as_posix()] = folder.path / _POOLING
    return found
