"""A GGUF to be trimmed: rows copied as they are quantized, entries counted anew, adapters remapped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.adapt.adapter import adapter_path, remap_adapter
from converters.adapt.held_out import Reads
from converters.adapt.proof import Compare, Effort, served
from converters.adapt.request import Request
from converters.adapt.required import ids_in, template_texts
from converters.adapt.rewrite import rewritten
from converters.adapt.selection import Selection
from converters.adapt.tokenizer_json import processor_ids
from converters.adapt.vocabulary import Vocabulary, vocabulary_in, vocabulary_of
from converters.files import require_free, require_other, require_space, temporary_beside
from converters.gguf.vocabulary import open_vocabulary
from converters.manifest import Manifest, derived, write_manifest
from runtime.models.adapter import check_adapter
from runtime.models.encoding import encoding_of
from runtime.models.files import Progress
from runtime.models.gguf_copy import Rows, copied_size, entries_of, write_copy
from runtime.models.gguf_format import GgufFile, parse
from runtime.models.header import EMBEDDED_KEY, Header
from runtime.models.inspect import check_loadable, read_header
from runtime.models.trimmed import VOCABULARY_TENSORS, fingerprint
from runtime.text.tokenizer import Tokenizer

_TEMPLATE_KEY = "tokenizer.chat_template"


@contextmanager
def open_gguf(request: Request) -> Iterator[Gguf]:
    """Open a GGUF; see `open_model`."""
    file = parse(request.source)
    header = Header(request.source, file.version, file.alignment, file.metadata, file.tensors, file.file_size)
    check_loadable(header)
    for adapter in request.adapters:
        check_adapter(adapter, header)
    for target in targets_of(request):
        require_free(target, force=request.force)
        require_other(target, (request.source, *request.adapters))
    own, spec = vocabulary_of(header), embedded_json(header)
    views = (own, vocabulary_in(spec, len(own))) if spec else (own,)
    referred = frozenset(ids_in(header.metadata, len(own))) | (processor_ids(spec) if spec else set())
    templates = (value for key, value in header.metadata.items() if key.startswith(_TEMPLATE_KEY))
    texts = tuple(template_texts(each for each in templates if isinstance(each, str)))
    with open_vocabulary(request.source) as opened:
        yield Gguf(request, file, header, views, opened.read, referred, texts, header.file_size)


@dataclass(frozen=True)
class Gguf:
    """`Opened` of a GGUF."""

    request: Request
    file: GgufFile
    header: Header
    views: Sequence[Vocabulary]
    tokenizer: Tokenizer
    referred: frozenset[int]
    texts: Sequence[str]
    num_bytes: int

    @property
    def adapters(self) -> tuple[Path, ...]:
        """See `Opened.adapters`."""
        return tuple(targets_of(self.request)[1:])

    @contextmanager
    def write(self, selection: Selection, progress: Progress) -> Iterator[WrittenGguf]:
        """See `Opened.write`; adapters are written with it, and checked against it."""
        source, output = self.request.source, self.request.output
        rows: Mapping[str, Rows] = {name: selection.tokens for name in VOCABULARY_TENSORS if name in self.file.tensors}
        require_space(output, copied_size(self.file, rows))
        entries = rewritten(entries_of(source, self.file), self.header, self.views[0], selection)
        with ExitStack() as stack:
            targets = targets_of(self.request)
            temporary, *for_adapters = [stack.enter_context(temporary_beside(target)) for target in targets]
            write_copy(temporary, source, self.file, entries, rows, progress, title=output.name)
            trimmed = read_header(temporary)
            check_loadable(trimmed)
            for adapter, target in zip(self.request.adapters, for_adapters, strict=True):
                remap_adapter(adapter, target, selection.tokens, fingerprint(trimmed), progress)
                check_adapter(target, trimmed)
            written = WrittenGguf(self.request, self.header, trimmed, selection, trimmed.file_size)
            yield written
        if written.manifest is not None:
            write_manifest(output, written.manifest)


@dataclass
class WrittenGguf:
    """`Written` of a GGUF."""

    request: Request
    source: Header
    trimmed: Header
    selection: Selection
    num_bytes: int
    manifest: Manifest | None = None

    @contextmanager
    def readers(self) -> Iterator[Sequence[tuple[Reads, Reads]]]:
        """See `Written.readers`: the runtime's, and llama.cpp's own, which other programs read with."""
        with open_vocabulary(self.source.path) as before, open_vocabulary(self.trimmed.path) as after:
            is_other = type(before.own) is not type(before.read)
            yield [(before.read, after.read), *([(before.own, after.own)] if is_other else [])]

    @contextmanager
    def compared(self, effort: Effort) -> Iterator[Compare]:
        """See `Written.compared`."""
        paths = self.source.path, self.trimmed.path
        encodings = encoding_of(self.source), encoding_of(self.trimmed)
        with served(paths, encodings, self.selection.tokens, effort) as compare:
            yield compare

    def describe(self, trim: dict[str, Any]) -> Manifest:
        """See `Written.describe`."""
        name, quantization = self.request.output.name, self.trimmed.quantization
        self.manifest = derived(self.source.path, self.trimmed.path, quantization, (), name=name, trim=trim)
        return self.manifest


def targets_of(request: Request) -> list[Path]:
    """The files that are written: the model's, and those of adapters."""
    return [request.output, *(adapter_path(request.output, adapter) for adapter in request.adapters)]


def embedded_json(header: Header) -> dict[str, Any] | None:
    """The tokenizer.json that a GGUF carries, if it does."""
    embedded = header.metadata.get(EMBEDDED_KEY)
    found: dict[str, Any] | None = json.loads(embedded) if isinstance(embedded, str) else None
    return found
