"""A checkpoint with another tokenizer: where each new row comes from is planned, written, read again, told."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from converters.adapt.transplant.aligner import align
from converters.adapt.transplant.alignments import read_alignments
from converters.adapt.transplant.given import Given, open_tokenizer
from converters.adapt.transplant.mapping import plan_by_mapping, read_mapping
from converters.adapt.transplant.ofa import plan_by_ofa
from converters.adapt.transplant.overlap import plan_by_overlap
from converters.adapt.transplant.plan import Plan
from converters.adapt.transplant.report import Report, likenesses, readings_of
from converters.adapt.transplant.settings import Renumbering
from converters.adapt.transplant.template import template_for
from converters.adapt.transplant.tensors import embedding_of, vocabulary_tensors, with_positions, with_rows
from converters.adapt.transplant.trans_tokenization import plan_by_translation
from converters.adapt.transplant.vectors import read_vectors
from converters.adapt.transplant.vocabulary import Vocabulary, vocabulary_in
from converters.bytes import is_of_bytes
from converters.card import read_card
from converters.checkpoint import GENERATION_FILE, Checkpoint, open_checkpoint, read_checkpoint, read_json
from converters.checkpoint_folder import Contents, contents_of, require_target, write_contents
from converters.factors import PRIMITIVES, RANK_KEY, factorised
from converters.files import folder_beside, require_free_folder
from converters.manifest import Manifest, made_from, source_files, write_folder_manifest
from converters.probes import PROBES
from converters.progress import StepProgress
from converters.tensors import Tensor
from converters.tokenizer_source import ALL_FILES, tokenizer_source
from runtime.errors import ConversionRefused, InvalidRequest
from runtime.models.files import Progress
from runtime.models.onnx_folder import MANIFEST_FILE

Method: TypeAlias = Literal["overlap", "ofa", "trans-tokenization"]


@dataclass(frozen=True)
class Request:
    """What is asked for: `source` and `tokenizer` as a person names them.

    mapping: a mapping that is ready, in place of a method.
    vectors, rank: of OFA; `rank` None for an embedding of one matrix.
    alignments, parallel: of trans-tokenization, words that are aligned or text to align them in.
    """

    source: str
    tokenizer: str
    output: Path
    method: Method | None = None
    mapping: Path | None = None
    vectors: Path | None = None
    rank: int | None = None
    alignments: Path | None = None
    parallel: Path | None = None
    force: bool = False

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            InvalidRequest: with what does.
        """
        if self.mapping is not None and self.method is not None:
            raise InvalidRequest("--mapping and --method each say where rows come from.", remedy="Give one of them.")
        files = {"--alignments": self.alignments, "--parallel": self.parallel}
        for_method: dict[Method, dict[str, object]] = {
            "ofa": {"--vectors": self.vectors, "--rank": self.rank},
            "trans-tokenization": dict(files),
        }
        for method, options in for_method.items():
            given = [option for option, value in options.items() if value is not None]
            if self.method != method and given:
                raise InvalidRequest(f"{given[0]} is for --method {method}.", remedy="Add that, or leave it out.")
        if self.method == "ofa" and self.vectors is None:
            raise InvalidRequest("--method ofa needs a file.", remedy="Give it with --vectors.")
        if self.method == "trans-tokenization" and len([each for each in files.values() if each is not None]) != 1:
            raise InvalidRequest(
                "--method trans-tokenization needs one file.",
                remedy="Give it with --alignments, or a parallel text with --parallel.",
            )


@dataclass(frozen=True)
class Transplanted:
    """The folder, where its rows are from, what came of it, and its manifest."""

    path: Path
    plan: Plan
    report: Report
    manifest: Manifest


def transplant(request: Request, progress: Progress, steps: StepProgress) -> Transplanted:
    """Write the checkpoint with the other tokenizer.

    Raises:
        InvalidRequest: something asked for does not go together, or a file is none of its kind.
        ModelNotFound, DownloadFailed, ConfigurationInvalid: as `open_checkpoint`.
        UnsupportedArchitecture: its embedding is not known, or is to be factorised and its class has no such form.
        ConversionRefused: either tokenizer is not usable, a mapping does not fit, or the disk refuses.
    """
    request.check()
    require_free_folder(request.output, force=request.force, mark=MANIFEST_FILE)
    checkpoint = open_checkpoint(request.source, progress)
    if is_of_bytes(checkpoint):
        raise ConversionRefused(f"{checkpoint.folder} reads single bytes, whose rows stand for no other tokens.")
    embedding_of(checkpoint)  # which refuses what it does not know
    given = open_tokenizer(request.tokenizer, progress)
    old, new = vocabulary_in(checkpoint, tokenizer_source(checkpoint)), given.vocabulary
    rows, width = checkpoint.tensors[embedding_of(checkpoint)].shape
    if rows < len(old):
        raise ConversionRefused(
            f"{checkpoint.folder} has a tokenizer with {len(old):,} tokens, and an embedding with {rows:,} rows.",
            remedy="Get tokenizer and weights from one place.",
        )
    source, kept, notes = checkpoint, None, list[str]()
    checkpoint = with_positions(checkpoint, old.roles.get("pad"), new.roles.get("pad"))
    if request.rank is not None and request.rank != width:
        checkpoint, kept = factorised(checkpoint, request.rank)
    # Nothing of the model is refused from here on, so what takes long comes now.
    plan = _planned(request, old, new, steps)
    tensors = with_rows(checkpoint, plan, len(old))
    contents = _contents(checkpoint, tensors, given, Renumbering(old, new), notes)
    require_target(request.output, contents, [source.folder, *_folder_of(given)], force=request.force)
    embedding = embedding_of(checkpoint)
    report = Report(
        method=request.method or ("mapping" if request.mapping else "overlap"),
        tokenizer=given.origin.source,
        tokens=(len(old), len(new)),
        parameters=(_num_parameters(source.tensors), _num_parameters(tensors)),
        counts=plan.counts(),
        rank=contents.config.get(RANK_KEY),
        kept=kept,
        readings=readings_of(old, new),
        likenesses=likenesses(plan, old, new, checkpoint.tensors[embedding], tensors[embedding]),
    )
    with folder_beside(request.output) as temporary:
        write_contents(temporary, contents, progress, title=request.output.name)
        _prove(temporary, given, len(new))
        manifest = _manifest(temporary, request, source, contents, report, notes)
    return Transplanted(request.output, plan, report, manifest)


def _planned(request: Request, old: Vocabulary, new: Vocabulary, steps: StepProgress) -> Plan:
    if request.mapping is not None:
        return plan_by_mapping(read_mapping(request.mapping), old, new)
    if request.vectors is not None:
        return plan_by_ofa(old, new, read_vectors(request.vectors), steps)
    if request.parallel is not None:
        aligned = align(request.parallel, old, new, steps)
        return plan_by_translation(iter(aligned), old, new, str(request.parallel))
    if request.alignments is not None:
        return plan_by_translation(read_alignments(request.alignments), old, new, str(request.alignments))
    return plan_by_overlap(old, new)


def _contents(
    checkpoint: Checkpoint, tensors: dict[str, Tensor], given: Given, ids: Renumbering, notes: list[str]
) -> Contents:
    """All that is written: the rows, the ids in the settings, and the tokenizer's files in place of the old ones."""
    whole = contents_of(checkpoint)
    config = ids.config(whole.config, given.tokenizer_class, notes)
    files = {name: path for name, path in whole.files.items() if Path(name).name not in ALL_FILES}
    files |= given.files
    files |= template_for(checkpoint, ids.old, ids.new, files, notes)
    generation = checkpoint.folder / GENERATION_FILE
    if generation.is_file():
        values = ids.generation(read_json(generation), notes)
        files[GENERATION_FILE] = json.dumps(values, ensure_ascii=False, indent=2) + "\n"
    return replace(whole, tensors=tensors, config=config, files=files)


def _folder_of(given: Given) -> list[Path]:
    return [path.parent for path in given.files.values() if isinstance(path, Path)]


def _num_parameters(tensors: dict[str, Tensor]) -> int:
    return sum(tensors[name].num_elements for name in (*vocabulary_tensors(tensors), PRIMITIVES) if name in tensors)


def _prove(folder: Path, given: Given, num_rows: int) -> None:
    """Read what was written again, as any other checkpoint.

    Raises:
        ConversionRefused: it has other rows than tokens, or reads a text otherwise than the tokenizer.
    """
    written = read_checkpoint(folder, given.origin)
    rows = written.tensors[embedding_of(written)].shape[0]
    again = vocabulary_in(written, tokenizer_source(written))
    differing = [probe.name for probe in PROBES if again.encode(probe.text) != given.vocabulary.encode(probe.text)]
    if rows != num_rows or len(again) != num_rows or differing:
        raise ConversionRefused(
            f"What was written has {rows:,} rows and {len(again):,} tokens, {num_rows:,} were wanted; it reads "
            f"{len(differing)} texts otherwise than the tokenizer.",
            remedy="This is a fault of demotic: please report it with the command.",
        )


def _manifest(
    folder: Path, request: Request, source: Checkpoint, contents: Contents, report: Report, notes: list[str]
) -> Manifest:
    made = made_from(
        source.origin,
        read_card(source.folder, source.origin),
        file=request.output.name,
        architecture=next(iter(contents.config.get("architectures") or ["unknown"])),
        type_name=contents.tensors[vocabulary_tensors(contents.tensors)[0]].dtype,
        sources=source_files(source.folder, source.weight_files),
        notes=notes,
    )
    return write_folder_manifest(folder, replace(made, transplant=report.as_dict()))
