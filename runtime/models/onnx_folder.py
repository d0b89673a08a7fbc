"""A folder of ONNX graphs as one object: what `Header` is to a GGUF."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from runtime.models.encoding import Encoding, Head, Pooling
from runtime.models.name import is_optimum_folder
from runtime.models.onnx_optimum import optimum_settings
from runtime.models.onnx_settings import Settings, read_settings

MANIFEST_FILE = "manifest.json"
_MAX_BYTES = 2**20
_HEADS: dict[str, Head] = {
    "classify": "labels",
    "reward": "reward",
    "token-classify": "token-classify",
    "fill-mask": "fill-mask",
    "question-answering": "question-answering",
}
_SCORE_HEADS = frozenset({"labels", "reward"})


@dataclass(frozen=True, eq=False)
class OnnxFolder:
    """Graphs, a tokenizer, and settings that have been checked; nothing of the graphs has been read."""

    path: Path
    settings: Settings

    # A folder has no template of conversations.
    chat_template: None = None
    tool_template: None = None

    @property
    def architecture(self) -> str:
        """The type of model as transformers calls it, such as "xlm-roberta"."""
        return self.settings.architecture

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def license(self) -> str | None:
        """The licence that the manifest tells."""
        found = self.manifest.get("license")
        return found if isinstance(found, str) else None

    @property
    def quantization(self) -> str:
        """What the manifest calls the weights, such as "F32"."""
        return str(self.manifest.get("type") or "unknown")

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the manifest says; nothing where there is none that can be read."""
        path = self.path / MANIFEST_FILE
        try:
            if path.stat().st_size > _MAX_BYTES:
                return {}
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    @cached_property
    def file_size(self) -> int:
        """Bytes of the graphs with their weights."""
        graphs = [self.path / name for name in self.settings.graphs.values()]
        weights = [graph.with_name(f"{graph.name}.data") for graph in graphs]
        return sum(each.stat().st_size for each in (*graphs, *weights) if each.is_file())

    @property
    def trained_context_length(self) -> int | None:
        """How many tokens a text may have; None where the model sets no limit."""
        return self.settings.max_length

    @property
    def has_encoder(self) -> bool:
        """Whether it is an encoder-decoder."""
        return self.settings.shape == "encoder-decoder"

    def token_text(self, _key: str) -> str:
        """The text of a special token, which only a template would need: none."""
        return ""

    @cached_property
    def encoding(self) -> Encoding | None:
        """How the model makes vectors, scores or labels; None where it generates text."""
        settings = self.settings
        if settings.shape in {"decoder", "encoder-decoder"}:
            return None
        head = _HEADS.get(settings.task)
        pooling: Pooling = settings.pooling or ("rank" if head in _SCORE_HEADS else "tokens")
        return Encoding(
            pooling,
            is_causal=settings.shape == "pooled-decoder",
            labels=settings.labels,
            head=head,
            problem=settings.problem_type,
            mask=settings.tokens.mask,
        )


def read_folder(path: Path) -> OnnxFolder:
    """Read and check what a folder says of its graphs: its demotic.json, or what optimum put beside them.

    Raises:
        ModelFileInvalid: it cannot be used.
        UnsupportedArchitecture: it was made for a later version.
    """
    return OnnxFolder(path, optimum_settings(path) if is_optimum_folder(path) else read_settings(path))
