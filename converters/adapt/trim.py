"""A model with the rows of its vocabulary that certain languages need: chosen, written, proved; in any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.adapt.closure import Closure
from converters.adapt.format import Opened, Written, open_model
from converters.adapt.held_out import HeldOut, fallback_tokens, hold
from converters.adapt.proof import Proof, prove
from converters.adapt.report import Report, SourceReport
from converters.adapt.request import Request
from converters.adapt.required import read_keep, required_tokens
from converters.adapt.selection import Selection, select
from converters.adapt.texts import read_corpora
from converters.adapt.wanted import Reader, Source, fits_scripts, gather
from converters.manifest import Manifest
from converters.probes import LINES
from converters.progress import StepProgress
from runtime.errors import ConversionRefused
from runtime.language.codes import parse
from runtime.language.scripts import to_scripts
from runtime.models.files import Progress

_NOT_EQUAL = "This is a fault of demotic: please report it with the command."


@dataclass(frozen=True)
class Trimmed:
    """What came of it; `adapters` are the remapped ones."""

    path: Path
    adapters: tuple[Path, ...]
    report: Report
    manifest: Manifest


def trim(request: Request, progress: Progress, steps: StepProgress) -> Trimmed:
    """Write the trimmed model, and adapters for it, and prove what they are.

    Raises:
        InvalidRequest, UnknownLanguage: something asked for is wrong, or nothing tells what a language needs.
        ModelFileInvalid, UnsupportedArchitecture: the source is no model that can be run, or an adapter is not for it.
        ConversionRefused: the vocabulary cannot be trimmed, a file cannot be written, or the proof fails.
    """
    languages = tuple(dict.fromkeys(str(parse(name, param="--languages")) for name in request.languages))
    scripts = to_scripts(request.scripts, param="--scripts")
    corpora = read_corpora(request.corpora)
    with open_model(request) as opened:
        closure = Closure(opened.views)
        reader = Reader(opened.views[0], closure, opened.tokenizer)
        required = _required(opened, request)
        sources = gather(corpora, languages, scripts, reader, steps)
        fits = fits_scripts(reader, scripts)
        selection = select(sources, required, closure, request.limits, fits, reader.vocabulary)
        with opened.write(selection, progress) as written:
            held_out = _hold(written, opened, selection, sources)
            proofs = _proved(written, request, sources, steps)
            report = Report(
                rows=(len(reader.vocabulary), len(selection.tokens)),
                num_required=selection.num_required,
                sizes=(opened.num_bytes, written.num_bytes),
                sources=tuple(
                    SourceReport(source.name, source.origin, source.num_tokens, source.missing_share, held, proof)
                    for source, held, proof in zip(sources, held_out, proofs, strict=True)
                ),
            )
            manifest = written.describe(report.as_dict())
    return Trimmed(request.output, opened.adapters, report, manifest)


def _required(opened: Opened, request: Request) -> set[int]:
    """What always stays: by any of the vocabularies, and what a person asks for."""
    more = set(opened.referred)
    if request.keep is not None:
        more |= read_keep(request.keep, opened.views[0], opened.tokenizer)
    return set[int]().union(*(required_tokens(view, opened.tokenizer, opened.texts, more) for view in opened.views))


def _hold(written: Written, opened: Opened, selection: Selection, sources: Sequence[Source]) -> list[HeldOut]:
    """Read the held-out lines with source and result, by all tokenizers that will read texts.

    Raises:
        ConversionRefused: a text whose tokens are all kept is read otherwise.
    """
    fallbacks = fallback_tokens(opened.views[0])
    found: list[HeldOut] = []
    with written.readers() as pairs:
        for each in sources:
            held = [hold(each.held_out, old, new, selection.tokens, selection.new_ids, fallbacks) for old, new in pairs]
            if any(one.num_differing for one in held):
                raise ConversionRefused(
                    f"{max(one.num_differing for one in held)} of {held[0].num_covered} lines of {each.name} whose "
                    "tokens are all kept are read otherwise.",
                    remedy=_NOT_EQUAL,
                )
            found.append(held[0])
    return found


def _proved(written: Written, request: Request, sources: Sequence[Source], steps: StepProgress) -> list[Proof | None]:
    """Compute both on the held-out lines; where a source has none, on a line of our own in every language.

    Raises:
        ConversionRefused: they do not compute the same.
    """
    if not request.verify:
        return [None] * len(sources)
    texts = [source.held_out or tuple(LINES.values()) for source in sources]
    proofs = prove(written.compared(request.effort), texts, steps)
    for source, proof in zip(sources, proofs, strict=True):
        if not proof.holds:
            raise ConversionRefused(
                f"The trimmed model computes otherwise than its source on {source.name}: {proof.num_unequal} of "
                f"{proof.num_tokens} rows of numbers differ, {proof.num_greedy - proof.equal_restricted} of "
                f"{proof.num_greedy} continuations.",
                remedy=_NOT_EQUAL,
            )
    return list(proofs)
