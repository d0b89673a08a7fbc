"""The languages of a translator, as a checkpoint's files tell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.checkpoint import Checkpoint
from runtime.models.onnx_languages import spoken_by


def languages_of(checkpoint: Checkpoint, vocabulary: Mapping[str, int]) -> dict[str, Any] | None:
    """The entry of the settings; None for models that know no languages."""
    settings = checkpoint.json("tokenizer_config.json")
    spoken = spoken_by(
        checkpoint.config.text("model_type", default=""),
        vocabulary,
        tokenizer_class=str(settings.get("tokenizer_class") or checkpoint.config.values.get("tokenizer_class") or ""),
        is_legacy=settings.get("legacy_behaviour") is True,
    )
    if spoken is None:
        return None
    return {"codes": dict(spoken.codes), "source": list(spoken.source), "target": spoken.target}
