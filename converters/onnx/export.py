"""From a checkpoint to a folder with ONNX graphs: read, trace, compare with the source, rename, tell.

The folder is made under a hidden name, so that nothing that differs from its source is ever under the final one.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.adapters.merge import merged
from converters.adapters.peft import Adapter, open_adapter
from converters.adapters.provenance import card_with, facts_of
from converters.card import Card, read_card
from converters.checkpoint import Checkpoint, is_adapter, locate, read_checkpoint
from converters.factors import expanded, is_factorised
from converters.files import folder_beside, require_free_folder
from converters.manifest import Manifest, made_from, source_files, tools, write_folder_manifest
from converters.onnx.artefact import open_artefact
from converters.onnx.difference import Report
from converters.onnx.graph import Graph, write_graph
from converters.onnx.kinds import Kind, kind_of
from converters.onnx.optimum import export_with_optimum
from converters.onnx.parity import compare, probes_of
from converters.onnx.quantize import Shrinking, shrink
from converters.onnx.session import Session
from converters.onnx.settings import SETTINGS_FILE, settings_of
from converters.onnx.tokenizer import carried_tokenizer, write_tokenizer
from converters.progress import NoSteps, StepProgress
from converters.source import load_class
from runtime.errors import InvalidRequest
from runtime.models.files import NoProgress, Progress

_TOOLS = ("onnx", "onnxruntime", "torch", "transformers")
# The graphs in float32 while smaller ones are made of them, in the folder that these go to.
_WHOLE = ".whole"


@dataclass(frozen=True)
class Request:
    """What is to be exported: `source` as a person names it, `output` None for a name made from the source's.

    shrinking: what becomes of the graphs once they are as their source; None leaves them in float32.
    optimum: the interpreter whose optimum exports it; None for our own export.
    dense: an embedding of two factors becomes one matrix.
    """

    source: str
    output: Path | None = None
    adapter: str | None = None
    pooling: str | None = None
    force: bool = False
    shrinking: Shrinking | None = None
    optimum: Path | None = None
    dense: bool = False


@dataclass(frozen=True)
class Exported:
    """A finished artefact, its manifest, and what it does otherwise where it was made smaller."""

    path: Path
    manifest: Manifest
    report: Report | None = None


def export(request: Request, progress: Progress | None = None, steps: StepProgress | None = None) -> Exported:
    """Make a folder of ONNX graphs of a checkpoint, perhaps with an adapter merged into it.

    Raises:
        ModelNotFound: there is no such checkpoint.
        InvalidRequest: something is asked for that this source cannot have.
        UnsupportedArchitecture: its class is not exported.
        ConversionRefused: something about it cannot be exported, a graph differs from its source, or the disk refuses.
        DownloadFailed, ConfigurationInvalid: the hub or the cache fails.
    """
    progress, steps = progress or NoProgress(), steps or NoSteps()
    if request.shrinking is not None:
        request.shrinking.check()
    folder, origin = locate(request.source, progress)
    if is_adapter({each.name for each in folder.iterdir()}):
        raise InvalidRequest(
            f"{request.source} is an adapter, which has no graph.",
            remedy=f"Merge it: demotic convert BASE --adapter {request.source} --to onnx.",
        )
    checkpoint, notes = read_checkpoint(folder, origin), list[str]()
    if request.dense:
        if not is_factorised(checkpoint.config):
            raise InvalidRequest(f"{request.source} has an embedding of one matrix.", remedy="Leave out --dense.")
        checkpoint = expanded(checkpoint)
        notes.append("The embedding, two factors in the source, is one matrix.")
    kind = kind_of(checkpoint)
    if request.optimum is not None:
        path = request.output or Path(f"{checkpoint.name}-onnx")
        return Exported(path, export_with_optimum(checkpoint, path, request.optimum, steps, force=request.force))
    if request.pooling is not None and kind.task != "features":
        raise InvalidRequest(f"{request.source} gives no vectors, so nothing is pooled.", remedy="Leave out --pooling.")
    adapter = open_adapter(request.adapter, progress) if request.adapter is not None else None
    name = f"{checkpoint.name}-{adapter.origin.name}" if adapter is not None else checkpoint.name
    suffix = "" if request.shrinking is None else f"-{request.shrinking.type}"
    path = request.output or Path(f"{name}-onnx{suffix}")
    require_free_folder(path, force=request.force, mark=SETTINGS_FILE)
    card = read_card(checkpoint.folder, checkpoint.origin)
    if adapter is not None:
        checkpoint = merged(checkpoint, adapter, notes)
        card = card_with(card, adapter, checkpoint, notes)
    with folder_beside(path) as temporary:
        if request.shrinking is None:
            return Exported(path, _write(temporary, checkpoint, kind, request, card, notes, adapter, steps, path.name))
        whole = temporary / _WHOLE
        whole.mkdir()
        _write(whole, checkpoint, kind, request, card, notes, adapter, steps, path.name)
        manifest, report = shrink(open_artefact(whole), temporary, request.shrinking, path.name, steps)
        shutil.rmtree(whole)
    return Exported(path, manifest, report)


def _write(
    folder: Path,
    checkpoint: Checkpoint,
    kind: Kind,
    request: Request,
    card: Card,
    notes: Sequence[str],
    adapter: Adapter | None,
    steps: StepProgress,
    title: str,
) -> Manifest:
    """Write a whole artefact into an empty folder that will have the name `title`."""
    parity = _fill(folder, checkpoint, kind, request.pooling, steps, title)
    made = made_from(
        checkpoint.origin,
        card,
        file=title,
        architecture=kind.name,
        type_name="F32",
        sources=source_files(checkpoint.folder, checkpoint.weight_files),
        notes=notes,
    )
    merged_in = facts_of(adapter) if adapter is not None else None
    return write_folder_manifest(folder, replace(made, tools=tools(*_TOOLS), adapter=merged_in, parity=parity))


def _fill(
    folder: Path, checkpoint: Checkpoint, kind: Kind, pooling: str | None, steps: StepProgress, title: str
) -> dict[str, Any]:
    """Write everything but the manifest, and return the figures of the comparison."""
    steps.start(title, 4 if kind.shape == "encoder-decoder" else 3)
    try:
        model = _loaded(checkpoint, kind)
        carried = carried_tokenizer(checkpoint, int(model.get_input_embeddings().weight.shape[0]))
        steps.advance()
        graphs = graphs_of(model, kind)
        for graph in graphs:
            write_graph(graph, folder)
            steps.advance()
        sessions = {graph.file.removesuffix(".onnx"): Session(folder / graph.file) for graph in graphs}
        figures = compare(kind, model, sessions, probes_of(carried.encode))
        settings = settings_of(checkpoint, kind, model, graphs, carried, pooling)
        write_tokenizer(folder, carried)
        (folder / SETTINGS_FILE).write_text(settings.as_json(), encoding="utf-8")
        steps.advance()
        return figures
    finally:
        steps.finish()


def _loaded(checkpoint: Checkpoint, kind: Kind) -> Any:
    """The model that the graphs are made of and held against."""
    if is_factorised(checkpoint.config):
        from converters.onnx.assembled import load_assembled

        return load_assembled(checkpoint)
    return load_class(kind.name, checkpoint, unused="pooler." if kind.task == "features" else "")


def graphs_of(model: Any, kind: Kind) -> Sequence[Graph]:
    """The graphs of a model: one, or of an encoder-decoder two."""
    match kind.shape:
        case "encoder-decoder":
            from converters.onnx.wrappers_seq2seq import seq2seq_graphs

            return seq2seq_graphs(model)
        case "decoder":
            from converters.onnx.wrappers_decoder import decoder_graph

            return (decoder_graph(model),)
        case _:
            from converters.onnx.wrappers_encoder import encoder_graph

            return (encoder_graph(model, kind),)
