"""A checkpoint to be trimmed: the tensors with a row for each token, and all that tells of tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from converters.adapt.checkpoint_rows import rows_of_vocabulary, trimmed_tensors
from converters.adapt.folder import (
    manifest_without,
    read_spec,
    referred_ids,
    trim_entry,
    trimmed_files,
    trimmed_manifest,
    write_map,
)
from converters.adapt.held_out import Reads
from converters.adapt.peft_adapter import PeftAdapter, open_peft, write_peft
from converters.adapt.proof import Compare, Effort, prove_text, prove_vectors
from converters.adapt.request import Request
from converters.adapt.required import template_texts
from converters.adapt.selection import Selection
from converters.adapt.tokenizer_json import processor_ids
from converters.adapt.vocabulary import Vocabulary, vocabulary_in
from converters.checkpoint import ADAPTER_CONFIG, CONFIG_FILE, TOKENIZER_FILE, Checkpoint, open_checkpoint, read_json
from converters.checkpoint_folder import Contents, contents_of, require_target, write_contents
from converters.files import folder_beside, require_free_folder
from converters.manifest import Manifest, manifest_of, source_files, write_folder_manifest
from converters.probes import LINES
from converters.tensors import main_type
from converters.tokenizer_source import tokenizer_source
from converters.weights.write import weights_size
from runtime.backends.onnx.tokenizer_json import JsonTokenizer
from runtime.errors import ConversionRefused
from runtime.models.files import Progress
from runtime.models.onnx_config import max_length_of
from runtime.models.onnx_folder import MANIFEST_FILE
from runtime.text.tokenizer import Tokenizer

_READ_OTHERWISE = (
    "transformers reads texts otherwise than the tokenizer.json of the source says; what is said there was trimmed."
)
_TEMPLATES = "additional_chat_templates"


@contextmanager
def open_folder(request: Request) -> Iterator[CheckpointModel]:
    """Open a checkpoint; see `open_model`."""
    checkpoint = open_checkpoint(str(request.source))
    if "quantization_config" in checkpoint.config:
        raise ConversionRefused(
            f"{checkpoint.folder} is quantized already.", remedy="Take the checkpoint that it was made from."
        )
    num_rows = rows_of_vocabulary(checkpoint)
    source = tokenizer_source(checkpoint)
    if not source.is_exact:
        raise ConversionRefused(
            f"No tokenizer.json gives the ids of {Path(source.where).name} on all texts, and only that is trimmed.",
            remedy="Give the checkpoint a tokenizer.json.",
        )
    contents = contents_of(checkpoint)
    contents = replace(contents, files={**contents.files, TOKENIZER_FILE: source.text})
    require_target(request.output, contents, [request.source, *request.adapters], force=request.force)
    adapters = tuple(open_peft(adapter, checkpoint.tensors) for adapter in request.adapters)
    for target in _adapter_targets(request):
        require_free_folder(target, force=request.force, mark=ADAPTER_CONFIG)
    with TemporaryDirectory(prefix="demotic-") as scratch:
        path = Path(scratch) / TOKENIZER_FILE
        path.write_text(source.text, encoding="utf-8")
        spec = read_spec(path)
        tokenizer = JsonTokenizer(path, num_rows=num_rows, ends=checkpoint.config.integers("eos_token_id"))
    trained = (adapter.rows for adapter in adapters)
    referred = referred_ids(checkpoint.folder, num_rows).union(processor_ids(spec), *trained)
    texts = tuple(template_texts(_templates(checkpoint)))
    views = (vocabulary_in(spec, num_rows),)
    yield CheckpointModel(request, checkpoint, contents, views, tokenizer, referred, texts, adapters)


@dataclass(frozen=True)
class CheckpointModel:
    """`Opened` of a checkpoint."""

    request: Request
    checkpoint: Checkpoint
    contents: Contents
    views: Sequence[Vocabulary]
    tokenizer: Tokenizer
    referred: frozenset[int]
    texts: Sequence[str]
    peft: Sequence[PeftAdapter]

    @property
    def adapters(self) -> tuple[Path, ...]:
        """See `Opened.adapters`."""
        return tuple(_adapter_targets(self.request))

    @property
    def num_bytes(self) -> int:
        """See `Opened.num_bytes`."""
        return weights_size(self.contents.tensors)

    @contextmanager
    def write(self, selection: Selection, progress: Progress) -> Iterator[WrittenCheckpoint]:
        """See `Opened.write`."""
        num_rows, output = len(self.views[0]), self.request.output
        files = trimmed_files({**self.contents.files, CONFIG_FILE: _text(self.contents.config)}, selection, num_rows)
        config = json.loads(str(files.pop(CONFIG_FILE)))
        tensors = trimmed_tensors(self.contents.tensors, selection, num_rows)
        with ExitStack() as stack:
            temporary, *others = [stack.enter_context(folder_beside(target)) for target in (output, *self.adapters)]
            for adapter, other in zip(self.peft, others, strict=True):
                write_peft(other, adapter, output, selection, num_rows, progress)
            write_contents(temporary, Contents(tensors, config, files), progress, title=output.name)
            write_map(temporary, self.checkpoint.folder, selection)
            yield WrittenCheckpoint(self.request, self.checkpoint, temporary, self, selection, weights_size(tensors))


@dataclass(frozen=True)
class WrittenCheckpoint:
    """`Written` of a checkpoint, which transformers reads and computes."""

    request: Request
    source: Checkpoint
    folder: Path
    model: CheckpointModel
    selection: Selection
    num_bytes: int
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def readers(self) -> Iterator[Sequence[tuple[Reads, Reads]]]:
        """See `Written.readers`: what a tokenizer.json says, and what transformers makes of it."""
        pairs: list[tuple[Reads, Reads]] = [(self.model.tokenizer, self._tokenizer)]
        if self.request.verify:
            from converters.adapt.hub_model import HubTokenizer

            before = HubTokenizer(self.source.path(TOKENIZER_FILE).parent)
            if all(_ids(before, line) == _ids(self.model.tokenizer, line) for line in LINES.values()):
                pairs.append((before, HubTokenizer(self.folder)))
            else:
                self.notes.append(_READ_OTHERWISE)
        yield pairs

    @contextmanager
    def compared(self, effort: Effort) -> Iterator[Compare]:
        """See `Written.compared`; what gives no text is compared by all numbers that it gives."""
        from converters.adapt.hub_model import HubEncoder, HubWriter, gives_text, gives_tokens, one_thread

        kept, trimmed = self.selection.tokens, open_checkpoint(str(self.folder))
        effort = replace(effort, longest=min(effort.longest, self._longest() or effort.longest))
        sides = (self.source, self.model.tokenizer), (trimmed, self._tokenizer)
        if gives_text(self.source):
            with one_thread(), closing(HubWriter(*sides[0])) as before, closing(HubWriter(*sides[1])) as after:
                yield lambda lines: prove_text(before, after, kept, lines, effort)
        else:
            columns = kept if gives_tokens(self.source) else None
            with one_thread(), closing(HubEncoder(*sides[0])) as first, closing(HubEncoder(*sides[1])) as last:
                yield lambda lines: prove_vectors(first, last, kept, lines, effort, columns)

    @cached_property
    def _tokenizer(self) -> JsonTokenizer:
        return JsonTokenizer(self.folder / TOKENIZER_FILE, num_rows=len(self.selection.tokens), ends=())

    def _longest(self) -> int | None:
        return max_length_of(self.source.config.values, self.source.json("tokenizer_config.json"))

    def describe(self, trim: dict[str, Any]) -> Manifest:
        """See `Written.describe`."""
        source, told = self.source, self.source.folder / MANIFEST_FILE
        manifest = read_json(told) if told.is_file() else {}
        if manifest:
            before = manifest_of(manifest)
        else:
            classes = source.config.texts("architectures")
            kind = classes[0] if classes else source.config.text("model_type", default="unknown")
            before = manifest_without(source.origin, source.folder, kind, main_type(self.model.contents.tensors))
        before = replace(before, notes=(*before.notes, *self.notes))
        read = source_files(source.folder, source.weight_files)
        entry = trim_entry(trim, source.folder, self.model.views[0], manifest)
        name = self.request.output.name
        return write_folder_manifest(self.folder, trimmed_manifest(before, name, read, entry))


def _adapter_targets(request: Request) -> list[Path]:
    """The folders that adapters become: beside the output, under both names."""
    output = request.output
    return [output.with_name(f"{output.name}-{adapter.name}") for adapter in request.adapters]


def _ids(reader: Reads, text: str) -> list[int]:
    return reader.encode(text, parse_special=False)


def _templates(checkpoint: Checkpoint) -> Iterator[str]:
    """The chat templates of a checkpoint, in all places that they may be in."""
    for file in ("tokenizer_config.json", "chat_template.json"):
        told = checkpoint.json(file).get("chat_template")
        named = told if isinstance(told, list) else [{"template": told}]
        templates = [each.get("template") for each in named if isinstance(each, dict)]
        yield from (each for each in templates if isinstance(each, str))
    folder = checkpoint.path(TOKENIZER_FILE).parent
    for path in (folder / "chat_template.jinja", *sorted((folder / _TEMPLATES).glob("*.jinja"))):
        if path.is_file():
            yield path.read_text(encoding="utf-8")


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)
