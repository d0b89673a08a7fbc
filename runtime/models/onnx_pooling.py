"""How vectors are made of hidden states, as sentence-transformers saves it beside a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from runtime.errors import UnsupportedArchitecture
from runtime.models.onnx_settings import broken

Pooling = Literal["mean", "cls", "last"]
_MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last",
}  # fmt: skip
_KNOWN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})


def pooling_of(folder: Path) -> Pooling | None:
    """What a folder names; None where it names nothing.

    Raises:
        ModelFileInvalid: the files are damaged.
        UnsupportedArchitecture: it names another way, or a layer over the vectors, which no graph computes.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return None
    modules = _read(path, list[dict[str, Any]])
    for module in modules:
        kind = str(module.get("type") or "")
        if kind.rpartition(".")[2] not in _KNOWN_MODULES:
            raise UnsupportedArchitecture(f"{folder} puts a layer over its vectors ({kind}) that is not computed.")
    settings = _read(folder / "1_Pooling" / "config.json", dict[str, Any])
    chosen = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in _MODES:
        raise UnsupportedArchitecture(f"{folder} pools by {', '.join(chosen) or 'nothing'}, which is not computed.")
    return _MODES[chosen[0]]


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as fault:
        raise broken(path, f"cannot be read: {fault}") from fault
