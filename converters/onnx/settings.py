"""What a runtime has to know of an artefact beside its graphs and its tokenizer: demotic.json.

docs/onnx.md describes each entry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from converters.checkpoint import Checkpoint
from converters.onnx.graph import Graph
from converters.onnx.kinds import Kind
from converters.onnx.tokenizer import Carried
from converters.pooling import pooling_of
from runtime.models.onnx_config import GENERATION, marks_of, max_length_of

SETTINGS_FILE = "demotic.json"
FORMAT = 1


@dataclass(frozen=True)
class Settings:
    """All of demotic.json."""

    task: str
    shape: str
    architecture: str
    graphs: Mapping[str, str]
    inputs: Mapping[str, Sequence[str]]
    outputs: Mapping[str, Sequence[str]]
    sizes: Mapping[str, int]
    max_length: int | None
    tokens: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    labels: Sequence[str] = ()
    problem_type: str | None = None
    pooling: str | None = None
    global_attention: str | None = None
    languages: Mapping[str, Any] | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def as_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"


def settings_of(
    checkpoint: Checkpoint, kind: Kind, model: Any, graphs: Sequence[Graph], carried: Carried, pooling: str | None
) -> Settings:
    """The settings of an artefact."""
    config = model.config
    writes = kind.shape in {"decoder", "encoder-decoder"}
    has_labels = kind.task in {"classify", "token-classify", "reward"}
    names = {graph.file.removesuffix(".onnx"): graph for graph in graphs}
    return Settings(
        task=kind.task,
        shape=kind.shape,
        architecture=config.model_type,
        graphs={name: graph.file for name, graph in names.items()},
        inputs={name: tuple(graph.sample) for name, graph in names.items()},
        outputs={name: graph.outputs for name, graph in names.items()},
        sizes=_sizes(model, graphs),
        max_length=max_length_of(_values(config), checkpoint.json("tokenizer_config.json")),
        tokens=marks_of(_values(config), _values(getattr(model, "generation_config", None))) | carried.marks,
        tokenizer=carried.settings,
        labels=[str(config.id2label[at]) for at in range(config.num_labels)] if has_labels else (),
        problem_type=getattr(config, "problem_type", None) if has_labels else None,
        pooling=_pooling(checkpoint, kind, pooling) if kind.task == "features" else None,
        global_attention=_global_attention(kind) if config.model_type == "longformer" else None,
        languages=carried.languages,
        generation=_generation(model) if writes else {},
    )


def _sizes(model: Any, graphs: Sequence[Graph]) -> dict[str, int]:
    """Vocabulary, width, and of what has a cache: layers, heads of keys and values, and the size of one."""
    sizes = {
        "vocabulary": int(model.get_input_embeddings().weight.shape[0]),
        "width": int(model.config.hidden_size),
    }
    sample = graphs[-1].sample
    if "past.0.key" in sample:
        _, heads, _, size = sample["past.0.key"].shape
        sizes |= {"layers": sum(name.startswith("past.") for name in sample) // 2, "heads": heads, "head_size": size}
    return sizes


def _values(config: Any) -> dict[str, Any]:
    """What a config of transformers holds; nothing where there is none."""
    values: dict[str, Any] = config.to_dict() if config is not None else {}
    return values


def _generation(model: Any) -> dict[str, Any]:
    values = {name: getattr(model.generation_config, name, None) for name in GENERATION}
    return {name: value for name, value in values.items() if value is not None}


def _pooling(checkpoint: Checkpoint, kind: Kind, asked: str | None) -> str:
    """As asked, else as the checkpoint says, else what is usual: the mean, of decoders the last token."""
    return asked or pooling_of(checkpoint) or ("last" if kind.shape == "pooled-decoder" else "mean")


def _global_attention(kind: Kind) -> str:
    """Which tokens of a Longformer see the whole text: as transformers' heads choose them."""
    return {"classify": "first", "question-answering": "question"}.get(kind.task, "none")
