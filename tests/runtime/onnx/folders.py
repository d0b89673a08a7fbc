"""Exported folders with something changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.model import Model, start
from runtime.models.store import ModelFile
from tests.converters.onnx.sources import Sources


def copied(sources: Sources, name: str, folder: Path, **changes: Any) -> Path:
    """A copy of what was exported of a checkpoint, with some of its settings changed."""
    made = Path(shutil.copytree(sources.exported(name).path, folder / name))
    path = made / "demotic.json"
    settings = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps(settings), encoding="utf-8")
    return made


def file_of(path: Path) -> ModelFile:
    """A folder as the store finds it."""
    return ModelFile(path.name, path, None, "path", None)


def opened(path: Path, limits: EngineConfig | None = None) -> Model:
    """The model of a folder, loaded into this process."""
    return start(ModelCard.read(file_of(path)), limits or EngineConfig(max_context=512))
