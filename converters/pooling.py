"""How a checkpoint's vectors are made of its hidden states: what sentence-transformers wrote beside it."""

from __future__ import annotations

from converters.checkpoint import Checkpoint
from runtime.errors import ConversionRefused, ModelFileInvalid, UnsupportedArchitecture
from runtime.models.onnx_pooling import Pooling
from runtime.models.onnx_pooling import pooling_of as pooling_in


def pooling_of(checkpoint: Checkpoint) -> Pooling | None:
    """The pooling that the checkpoint names; None where it names none.

    Raises:
        ConversionRefused: it names another, or a layer over it that the artefact would lack, or a file is damaged.
    """
    try:
        return pooling_in(checkpoint.folder)
    except ModelFileInvalid as fault:
        raise ConversionRefused(fault.message, remedy="Get it again.") from fault
    except UnsupportedArchitecture as fault:
        raise ConversionRefused(fault.message) from fault
