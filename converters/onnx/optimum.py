"""An export by optimum's exporter, which runs in an environment of its own, since it needs an older transformers.

What it writes is kept as it is, and held against the source like an export of our own; the runtime reads such folders.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from converters.card import read_card
from converters.checkpoint import Checkpoint
from converters.files import folder_beside, require_free_folder
from converters.manifest import Manifest, made_from, source_files, tools, write_folder_manifest
from converters.onnx.kinds import Kind, kind_of
from converters.onnx.parity import compare, probes_of
from converters.onnx.session import as_arrays, as_tensors
from converters.onnx.tokenizer import carried_tokenizer, write_tokenizer
from converters.progress import StepProgress
from converters.source import load_class
from runtime.backends.onnx.optimum import open_graphs
from runtime.backends.onnx.session import Graph
from runtime.config import EngineConfig
from runtime.errors import ConfigurationInvalid, ConversionRefused, DemoticError
from runtime.hardware.choice import plan_for_folder
from runtime.hardware.probe import probe
from runtime.models.onnx_folder import MANIFEST_FILE, read_folder

VARIABLE = "DEMOTIC_OPTIMUM_PYTHON"
_PACKAGE = "optimum-onnx[onnxruntime]==0.1.0"
_TASKS = {
    "features": "feature-extraction",
    "fill-mask": "fill-mask",
    "classify": "text-classification",
    "reward": "text-classification",
    "token-classify": "token-classification",
    "question-answering": "question-answering",
    "translate": "text2text-generation-with-past",
    "text2text": "text2text-generation-with-past",
    "generate": "text-generation-with-past",
}
_MISSING = ("No module named 'optimum", "No module named optimum")
_LAST_BYTES = 4000
# What sentence-transformers saves, and optimum does not copy.
_POOLING = ("modules.json", "1_Pooling/config.json")


def find_optimum(given: Path | None) -> Path:
    """The interpreter that has optimum: the one given, the environment variable's, or this one.

    Raises:
        ConfigurationInvalid: there is none, with the commands that make one.
    """
    named = given or (Path(value) if (value := os.environ.get(VARIABLE)) else None)
    if named is not None:
        if not os.access(named, os.X_OK) or named.is_dir():
            raise ConfigurationInvalid(f"{named} is no Python that could be run.", remedy=_how_to())
        return named
    if importlib.util.find_spec("optimum") is not None and importlib.util.find_spec("optimum.exporters.onnx"):
        return Path(sys.executable)
    raise ConfigurationInvalid(
        "optimum is not in this environment, which needs a newer transformers.", remedy=_how_to()
    )


def _how_to() -> str:
    return (
        f"Make one for it: python3 -m venv ~/.venv-optimum && ~/.venv-optimum/bin/pip install '{_PACKAGE}', and name "
        f"it with --optimum-python ~/.venv-optimum/bin/python or in {VARIABLE}."
    )


def export_with_optimum(
    checkpoint: Checkpoint, path: Path, python: Path, steps: StepProgress, *, force: bool
) -> Manifest:
    """Let optimum export a checkpoint to the folder `path`.

    Raises:
        UnsupportedArchitecture: its class is not exported.
        ConfigurationInvalid: the interpreter has no optimum.
        ConversionRefused: optimum fails, what it writes differs from its source, or the disk refuses.
    """
    kind = kind_of(checkpoint)
    require_free_folder(path, force=force, mark=MANIFEST_FILE)
    card = read_card(checkpoint.folder, checkpoint.origin)
    with folder_beside(path) as temporary:
        steps.start(path.name, 2)
        try:
            _run(python, checkpoint.folder, _TASKS[kind.task], temporary)
            steps.advance()
            parity = _complete(checkpoint, kind, temporary)
            steps.advance()
        finally:
            steps.finish()
        made = made_from(
            checkpoint.origin,
            card,
            file=path.name,
            architecture=kind.name,
            type_name="F32",
            sources=source_files(checkpoint.folder, checkpoint.weight_files),
            notes=(),
        )
        used = tools("onnxruntime") | {"optimum-onnx": _PACKAGE.rpartition("=")[2]}
        return write_folder_manifest(temporary, replace(made, tools=used, parity=parity))


def _run(python: Path, source: Path, task: str, target: Path) -> None:
    """Run the exporter as a child, which ends with this process's interrupt."""
    command = [
        python,
        "-m",
        "optimum.commands.optimum_cli",
        "export",
        "onnx",
        "--model",
        source,
        "--task",
        task,
        target,
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    with TemporaryFile() as said:
        child = subprocess.Popen(  # noqa: S603  # the interpreter is the caller's choice
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment
        )
        try:
            status = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        said.seek(max(0, said.tell() - _LAST_BYTES))
        text = said.read().decode("utf-8", "replace")
    if status == 0:
        return
    if any(line in text for line in _MISSING):
        raise ConfigurationInvalid(f"{python} has no optimum.", remedy=_how_to())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    raise ConversionRefused(f"optimum could not export {source}: {lines[-1] if lines else f'it ended with {status}'}")


class _Renamed:
    """A graph of optimum's under our names, as comparisons compute it."""

    def __init__(self, graph: Graph, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.inputs, self._graph, self._outputs = inputs, graph, outputs

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """See `Computing.run`."""
        arrays = as_arrays({name: tensor for name, tensor in inputs.items() if name in self.inputs})
        return as_tensors(dict(zip(self._outputs, self._graph.run(self._outputs, arrays), strict=True)))


def _complete(checkpoint: Checkpoint, kind: Kind, folder: Path) -> dict[str, Any]:
    """Put what optimum leaves out into the folder, read it as the runtime does, and hold it against the source.

    The tokenizer is written as our own export has it: an older transformers may add tokens that the model has not.
    """
    for name in _POOLING:
        if (checkpoint.folder / name).is_file() and not (folder / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(checkpoint.folder / name, folder / name)
    model = load_class(kind.name, checkpoint, unused="pooler." if kind.task == "features" else "")
    carried = carried_tokenizer(checkpoint, int(model.get_input_embeddings().weight.shape[0]))
    write_tokenizer(folder, carried)
    try:
        read = read_folder(folder)
        graphs = open_graphs(read, plan_for_folder(probe(), read, EngineConfig()))
    except DemoticError as fault:
        raise ConversionRefused(f"What optimum wrote cannot be run: {fault.message}") from fault
    settings = read.settings
    sessions = {role: _Renamed(graph, settings.inputs[role], settings.outputs[role]) for role, graph in graphs.items()}
    return compare(kind, model, sessions, probes_of(carried.encode))
