"""A GGUF with the rows of its vocabulary that certain languages need: chosen, written, proved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from converters.adapt.adapter import adapter_path, remap_adapter
from converters.adapt.closure import Closure
from converters.adapt.held_out import HeldOut, fallback_tokens, hold
from converters.adapt.proof import Effort, Proof, prove
from converters.adapt.report import Report, SourceReport
from converters.adapt.required import read_keep, required_tokens
from converters.adapt.rewrite import new_ids_of, rewritten
from converters.adapt.selection import Limits, Selection, select
from converters.adapt.texts import read_corpora
from converters.adapt.tokenizer_json import processor_ids
from converters.adapt.vocabulary import Vocabulary, vocabulary_in, vocabulary_of
from converters.adapt.wanted import Reader, Source, fits_scripts, gather
from converters.files import require_free, require_space, temporary_beside
from converters.gguf.copy import Rows, copied_size, entries_of, write_copy
from converters.gguf.vocabulary import open_vocabulary
from converters.manifest import Manifest, derived, write_manifest
from converters.probes import LINES
from converters.progress import StepProgress
from runtime.errors import ConversionRefused, InvalidRequest
from runtime.language.codes import parse
from runtime.language.scripts import to_scripts
from runtime.models.adapter import check_adapter
from runtime.models.files import Progress
from runtime.models.gguf_format import GgufFile
from runtime.models.gguf_format import parse as parse_gguf
from runtime.models.header import EMBEDDED_KEY, Header
from runtime.models.inspect import check_loadable, read_header
from runtime.models.trimmed import VOCABULARY_TENSORS, fingerprint

_NOT_EQUAL = "This is a fault of demotic: please report it with the command."


@dataclass(frozen=True)
class Request:
    """What is asked for: `languages` and `scripts` as a person names them, `corpora` as FILE or LANGUAGE=FILE."""

    source: Path
    output: Path
    languages: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    keep: Path | None = None
    adapters: tuple[Path, ...] = ()
    verify: bool = True
    force: bool = False
    effort: Effort = field(default_factory=Effort)


@dataclass(frozen=True)
class Trimmed:
    """What came of it; `adapters` are the remapped ones."""

    path: Path
    adapters: tuple[Path, ...]
    report: Report
    manifest: Manifest


def trim(request: Request, progress: Progress, steps: StepProgress) -> Trimmed:
    """Write the trimmed file, and adapters for it, and prove what they are.

    Raises:
        InvalidRequest, UnknownLanguage: something asked for is wrong, or nothing tells what a language needs.
        ModelFileInvalid, UnsupportedArchitecture: the source is no model that can be run, or an adapter is not for it.
        ConversionRefused: the vocabulary cannot be trimmed, a file cannot be written, or the proof fails.
    """
    languages = tuple(dict.fromkeys(str(parse(name, param="--languages")) for name in request.languages))
    scripts = to_scripts(request.scripts, param="--scripts")
    corpora = read_corpora(request.corpora)
    file = parse_gguf(request.source)
    header = Header(request.source, file.version, file.alignment, file.metadata, file.tensors, file.file_size)
    check_loadable(header)
    for adapter in request.adapters:
        check_adapter(adapter, header)
    targets = [request.output, *(adapter_path(request.output, adapter) for adapter in request.adapters)]
    for target in targets:
        _check_target(target, request)
    vocabulary = vocabulary_of(header)
    spec = embedded_json(header)
    views = [vocabulary, *([vocabulary_in(spec, len(vocabulary))] if spec else [])]
    closure = Closure(views)
    with open_vocabulary(request.source) as opened:
        tokenizer = opened.read
        more = read_keep(request.keep, vocabulary, tokenizer) if request.keep else set()
        more |= processor_ids(spec) if spec else set()
        required = set[int]().union(*(required_tokens(view, header.metadata, tokenizer, more) for view in views))
        reader = Reader(vocabulary, closure, tokenizer)
        sources = gather(corpora, languages, scripts, reader, steps)
        fits = fits_scripts(reader, scripts)
        selection = select(sources, required, closure, request.limits, fits, vocabulary)
    return _write(request, file, header, vocabulary, sources, selection, targets, progress, steps)


def _write(
    request: Request,
    file: GgufFile,
    header: Header,
    vocabulary: Vocabulary,
    sources: Sequence[Source],
    selection: Selection,
    targets: Sequence[Path],
    progress: Progress,
    steps: StepProgress,
) -> Trimmed:
    rows: Mapping[str, Rows] = {name: selection.tokens for name in VOCABULARY_TENSORS if name in file.tensors}
    require_space(request.output, copied_size(file, rows))
    entries = rewritten(entries_of(request.source, file), header, vocabulary, selection)
    with ExitStack() as stack:
        temporary, *for_adapters = [stack.enter_context(temporary_beside(target)) for target in targets]
        write_copy(temporary, request.source, file, entries, rows, progress, title=request.output.name)
        trimmed = read_header(temporary)
        check_loadable(trimmed)
        for adapter, target in zip(request.adapters, for_adapters, strict=True):
            remap_adapter(adapter, target, selection.tokens, fingerprint(trimmed), progress)
            check_adapter(target, trimmed)
        held_out = _hold(request.source, temporary, vocabulary, selection, sources)
        proofs = _proved(request, temporary, selection, sources, steps)
        report = Report(
            rows=(len(vocabulary), len(selection.tokens)),
            num_required=selection.num_required,
            sizes=(header.file_size, trimmed.file_size),
            sources=tuple(
                SourceReport(source.name, source.origin, source.num_tokens, source.missing_share, held, proof)
                for source, held, proof in zip(sources, held_out, proofs, strict=True)
            ),
        )
        manifest = derived(
            request.source, temporary, trimmed.quantization, (), name=request.output.name, trim=report.as_dict()
        )
    write_manifest(request.output, manifest)
    return Trimmed(request.output, tuple(targets[1:]), report, manifest)


def _hold(
    source: Path, target: Path, vocabulary: Vocabulary, selection: Selection, sources: Sequence[Source]
) -> list[HeldOut]:
    """Read the held-out lines with both files: as the runtime reads them, and as llama.cpp does.

    Raises:
        ConversionRefused: a text whose tokens are all kept is read otherwise.
    """
    new_ids, fallbacks = new_ids_of(selection), fallback_tokens(vocabulary)
    found: list[HeldOut] = []
    with open_vocabulary(source) as before, open_vocabulary(target) as after:
        for each in sources:
            pairs = [(before.read, after.read)]
            pairs += [(before.own, after.own)] if type(before.own) is not type(before.read) else []
            held = [hold(each.held_out, old, new, selection.tokens, new_ids, fallbacks) for old, new in pairs]
            if any(one.num_differing for one in held):
                raise ConversionRefused(
                    f"{max(one.num_differing for one in held)} of {held[0].num_covered} lines of {each.name} whose "
                    "tokens are all kept are read otherwise.",
                    remedy=_NOT_EQUAL,
                )
            found.append(held[0])
    return found


def _proved(
    request: Request, target: Path, selection: Selection, sources: Sequence[Source], steps: StepProgress
) -> list[Proof | None]:
    """Compute both files on the held-out lines; where a source has none, on a line of our own in every language.

    Raises:
        ConversionRefused: they do not compute the same.
    """
    if not request.verify:
        return [None] * len(sources)
    texts = [source.held_out or tuple(LINES.values()) for source in sources]
    proofs = prove(request.source, target, selection.tokens, texts, request.effort, steps)
    for source, proof in zip(sources, proofs, strict=True):
        if not proof.holds:
            raise ConversionRefused(
                f"The trimmed file computes otherwise than its source on {source.name}: {proof.num_unequal} of "
                f"{proof.num_tokens} rows of logits differ, {proof.num_greedy - proof.equal_restricted} of "
                f"{proof.num_greedy} continuations.",
                remedy=_NOT_EQUAL,
            )
    return list(proofs)


def _check_target(target: Path, request: Request) -> None:
    require_free(target, force=request.force)
    for read in (request.source, *request.adapters):
        if target.exists() and read.exists() and target.samefile(read):
            raise InvalidRequest(f"{target} is a file to read from.", remedy="Choose another name with -o.")


def embedded_json(header: Header) -> dict[str, Any] | None:
    """The tokenizer.json that a GGUF carries, if it does."""
    embedded = header.metadata.get(EMBEDDED_KEY)
    found: dict[str, Any] | None = json.loads(embedded) if isinstance(embedded, str) else None
    return found
