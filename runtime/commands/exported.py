"""What `demotic show` and `demotic doctor` tell of a folder of ONNX graphs."""

from __future__ import annotations

from typing import Any

from runtime.models.onnx_folder import OnnxFolder


def exported_facts(folder: OnnxFolder) -> dict[str, Any]:
    """What the settings say, and what the manifest says of how it was made."""
    made, settings = folder.manifest, folder.settings
    kept = ("made_from", "revision", "made_at", "license", "notes")
    return {
        "name": folder.name,
        "path": str(folder.path),
        **{key: made.get(key) or None for key in kept},
        "languages": list(made.get("languages") or ()),
        "architecture": folder.architecture,
        "kind": settings.shape,
        "task": settings.task,
        "labels": list(settings.labels) or None,
        "quantization": folder.quantization,
        "size_bytes": made.get("size") or folder.file_size,
        "context_length": folder.trained_context_length,
        "vocabulary_size": settings.sizes.vocabulary,
    }
