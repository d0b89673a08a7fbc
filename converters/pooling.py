"""How a checkpoint's vectors are made of its hidden states: what sentence-transformers wrote beside it."""

from __future__ import annotations

import json

from converters.checkpoint import Checkpoint
from converters.config import Config
from runtime.errors import ConversionRefused
from runtime.models.onnx_pooling import KNOWN_MODULES, MODES

_MODULES_FILE = "modules.json"


def pooling_of(checkpoint: Checkpoint) -> str | None:
    """The pooling that the checkpoint names: "mean", "cls" or "last"; None where it names none.

    Raises:
        ConversionRefused: it names another, or a layer over it that the artefact would lack.
    """
    path = checkpoint.folder / _MODULES_FILE
    if not path.is_file():
        return None
    for module in _modules(checkpoint):
        if module.text("type").rpartition(".")[2] not in KNOWN_MODULES:
            raise ConversionRefused(
                f"{checkpoint.folder} puts a layer over its vectors ({module.text('type')}) that is not converted."
            )
    settings = Config(checkpoint.json("1_Pooling/config.json"), str(checkpoint.folder / "1_Pooling" / "config.json"))
    chosen = [name for key, name in MODES.items() if settings.flag(key, default=False)]
    others = [key for key, value in settings.values.items() if key.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or len(others) != 1:
        raise ConversionRefused(f"{settings.where} pools by {', '.join(others) or 'nothing'}, which is not converted.")
    return chosen[0]


def _modules(checkpoint: Checkpoint) -> list[Config]:
    path = checkpoint.folder / _MODULES_FILE
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        return [Config(module, str(path)) for module in modules]
    except (ValueError, TypeError, AttributeError) as fault:
        raise ConversionRefused(f"{path} is damaged.", remedy="Get it again.") from fault
