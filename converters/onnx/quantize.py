"""From a folder with graphs in float32 to a smaller one: compute, shrink, compute again, compare, rename, tell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from converters.files import folder_beside, require_free_folder, require_other, require_space
from converters.manifest import Manifest, manifest_of, now, tools, write_folder_manifest
from converters.onnx.artefact import Artefact, encode_of, open_artefact
from converters.onnx.computed import Model, Text
from converters.onnx.difference import Report, chosen_languages, compared, texts_of
from converters.onnx.graph import DATA_SUFFIX, load_graph, save_graph
from converters.onnx.report import as_markdown
from converters.onnx.settings import SETTINGS_FILE
from converters.onnx.surgery import factorise_embedding, quantize_embedding
from converters.onnx.weights import require_operators, to_fp16, to_int4, to_int8
from converters.progress import NoSteps, StepProgress
from runtime.errors import ConversionRefused, InvalidRequest
from runtime.models.onnx_folder import MANIFEST_FILE

TYPES = ("int8", "int7", "int4", "fp16", "fp32")
EMBEDDING_TYPES = ("int8", "fp32")
REPORT_FILE = "report.md"
_TOOLS = ("onnx", "onnxruntime")


@dataclass(frozen=True)
class Shrinking:
    """What is to become of graphs.

    type: of the matrices; "fp32" leaves them.
    embedding: of the embedding, and of a head that is tied to it; None for eight bits where the matrices are in fewer
        than 16, else as they are.
    rank: of the two factors that the embedding becomes; None for one matrix.
    languages: what both are compared on; none for the model's own.
    max_drop: how much may be lost in a language, from 0 to 1; None for anything.
    """

    type: str
    embedding: str | None = None
    rank: int | None = None
    languages: Sequence[str] = ()
    max_drop: float | None = None

    @property
    def embedding_type(self) -> str:
        """Of the embedding, as it will be."""
        return self.embedding or ("int8" if self.type in {"int8", "int7", "int4"} else self.type)

    def check(self) -> None:
        """Refuse what there is not, and what would change nothing.

        Raises:
            InvalidRequest: with what there is.
        """
        if self.type not in TYPES:
            raise InvalidRequest(f"Graphs have no --type {self.type!r:.40}.", remedy=f"Known: {', '.join(TYPES)}.")
        if self.embedding is not None and self.embedding not in EMBEDDING_TYPES:
            known = ", ".join(EMBEDDING_TYPES)
            raise InvalidRequest(f"An embedding has no type {self.embedding!r:.40} here.", remedy=f"Known: {known}.")
        if self.type == "fp16" and self.embedding is not None:
            raise InvalidRequest("With fp16 the embedding is in fp16 too.", remedy="Leave out --embedding-type.")
        if self.type == self.embedding_type == "fp32" and self.rank is None:
            raise InvalidRequest(
                "Nothing would change: the graphs are in fp32.",
                remedy=f"Choose a type ({', '.join(TYPES[:-1])}), --embedding-type int8, or --embedding-rank.",
            )
        if self.max_drop is not None and not 0 <= self.max_drop <= 1:
            raise InvalidRequest(f"--max-drop is a share from 0 to 1, not {self.max_drop:g}.")


@dataclass(frozen=True)
class Request:
    """What is to be made of the folder `source`."""

    source: Path
    output: Path
    wanted: Shrinking
    force: bool = False


@dataclass(frozen=True)
class Shrunk:
    """A finished artefact, its manifest and what it does otherwise."""

    path: Path
    manifest: Manifest
    report: Report


@dataclass
class _Done:
    """What was done to the graphs, and lines to tell of it."""

    kept: float | None = None
    notes: list[str] = field(default_factory=list)


def quantize(request: Request, steps: StepProgress | None = None) -> Shrunk:
    """Make a smaller folder of one.

    Raises:
        ModelNotFound: there is no such folder.
        InvalidRequest: something is asked for that there is not.
        ConversionRefused: no export made the folder, it is quantized already or damaged, more would be lost than is
            allowed, or the disk refuses.
    """
    request.wanted.check()
    artefact = open_artefact(request.source)
    require_free_folder(request.output, force=request.force, mark=SETTINGS_FILE)
    require_other(request.output, (request.source,))
    require_space(request.output, _num_bytes(artefact.folder))
    with folder_beside(request.output) as temporary:
        manifest, report = shrink(artefact, temporary, request.wanted, request.output.name, steps)
    return Shrunk(request.output, manifest, report)


def shrink(
    artefact: Artefact, target: Path, wanted: Shrinking, name: str, steps: StepProgress | None = None
) -> tuple[Manifest, Report]:
    """Write what becomes of an artefact into an empty folder that will have this name.

    Raises:
        InvalidRequest, ConversionRefused: as `quantize`.
    """
    wanted.check()
    if artefact.settings.get("quantization"):
        raise ConversionRefused(
            f"{artefact.folder} is quantized already.", remedy="Quantize the folder in fp32 that it was made of."
        )
    texts = texts_of(artefact, encode_of(artefact), chosen_languages(artefact, wanted.languages))
    steps = steps or NoSteps()
    steps.start(name, 2 * len(texts) + len(artefact.graphs))
    try:
        before = _computed(artefact, texts, steps)
        done = _Done()
        for path in artefact.graphs.values():
            model = load_graph(path)
            _change(model, wanted, done)
            save_graph(model, target / path.name)
            del model  # before the next one is read
            steps.advance()
        _copy_others(artefact, target)
        settings = _settings(artefact, wanted)
        (target / SETTINGS_FILE).write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        made = replace(
            artefact, folder=target, graphs={role: target / path.name for role, path in artefact.graphs.items()}
        )
        sizes = _graph_bytes(artefact), _graph_bytes(made)
        report = compared(artefact, sizes, texts, before, _computed(made, texts, steps))
    finally:
        steps.finish()
    if wanted.max_drop is not None:
        report.require(wanted.max_drop)
    (target / REPORT_FILE).write_text(as_markdown(report, name), encoding="utf-8")
    return _write_manifest(artefact, target, settings["quantization"], name, report, done), report


def _computed(artefact: Artefact, texts: Sequence[Text], steps: StepProgress) -> list[Any]:
    model, found = Model(artefact), []
    for text in texts:
        found.append(model.compute(text))
        steps.advance()
    return found


def _change(model: ModelProto, wanted: Shrinking, done: _Done) -> None:
    """Change one graph: the embedding first by its rank, while it is whole, and last by its type."""
    if wanted.rank is not None:
        done.kept = min(done.kept or 1.0, factorise_embedding(model, wanted.rank))
    match wanted.type:
        case "int8" | "int7":
            to_int8(model, is_narrow=wanted.type == "int7")
        case "int4":
            to_int4(model)
        case "fp16":
            to_fp16(model)
    if wanted.embedding_type == "int8" and not quantize_embedding(model):
        done.notes.append("The embedding is read in a way that is not known, so it is left in fp32.")
    require_operators(model)


def _settings(artefact: Artefact, wanted: Shrinking) -> dict[str, Any]:
    entry = {"type": wanted.type, "embedding": wanted.embedding_type, "embedding_rank": wanted.rank}
    return {**artefact.settings, "quantization": entry}


def _copy_others(artefact: Artefact, target: Path) -> None:
    """Copy what is neither a graph nor told anew."""
    graphs = {path.name for path in artefact.graphs.values()}
    left = {SETTINGS_FILE, MANIFEST_FILE, *graphs, *(f"{name}{DATA_SUFFIX}" for name in graphs)}
    for path in sorted(artefact.folder.iterdir()):
        if path.is_file() and path.name not in left:
            shutil.copyfile(path, target / path.name)


def _write_manifest(
    artefact: Artefact, target: Path, entry: dict[str, Any], name: str, report: Report, done: _Done
) -> Manifest:
    before = manifest_of(artefact.manifest)
    kept = {} if done.kept is None else {"embedding_kept": done.kept}
    manifest = replace(
        before,
        file=name,
        type=entry["type"].upper(),
        tools=before.tools | tools(*_TOOLS),
        notes=(*before.notes, *dict.fromkeys(done.notes)),
        quantization={**entry, **kept, "report": report.as_dict()},
        made_at=now(),
    )
    return write_folder_manifest(target, manifest)


def _graph_bytes(artefact: Artefact) -> int:
    return sum(
        path.stat().st_size
        for graph in artefact.graphs.values()
        for path in (graph, graph.with_name(f"{graph.name}{DATA_SUFFIX}"))
        if path.is_file()
    )


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
