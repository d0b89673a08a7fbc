"""Settings of a folder that optimum exported, made of the files in it: what demotic.json is to one of ours.

Such folders are those of optimum's exporter and of repositories of the hub: graphs at the top or in `onnx/`, and beside
them the config and the tokenizer that transformers saves. Names of graphs, inputs and outputs are optimum's
(https://github.com/huggingface/optimum-onnx, optimum/exporters/onnx).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from runtime.errors import UnsupportedArchitecture
from runtime.models.name import CONFIG_FILE, GRAPHS_FOLDER
from runtime.models.onnx_config import GENERATION, marks_of, max_length_of
from runtime.models.onnx_languages import TRANSLATORS, spoken_by
from runtime.models.onnx_names import GraphNames, Sizes, read_names
from runtime.models.onnx_pooling import pooling_of
from runtime.models.onnx_settings import HEADS, Marks, Settings, Task, broken, check_settings
from runtime.models.onnx_settings import Sizes as ModelSizes
from runtime.models.onnx_vocabulary import special_tokens, tokenizer_of

# Which of a graph's variants is read, the best first; others come after them by their names.
_VARIANTS = ("", "quantized", "int8", "uint8", "fp16", "q4")
_DECODERS = frozenset("bloom gemma gemma2 gemma3_text gpt2 gpt_neox llama mistral phi3 qwen2 qwen3".split())
_READ = frozenset({"input_ids", "attention_mask", "token_type_ids", "global_attention_mask"})
_STATES = ("token_embeddings", "last_hidden_state")
_MAX_BYTES = 2**24


@dataclass(frozen=True)
class _Folder:
    """The files of a folder, each read when it is asked for."""

    path: Path

    @cached_property
    def config(self) -> Mapping[str, Any]:
        return read_json(self.path / CONFIG_FILE)

    @cached_property
    def generation(self) -> Mapping[str, Any]:
        return read_json(self.path / "generation_config.json")

    @cached_property
    def tokenizer_config(self) -> Mapping[str, Any]:
        return read_json(self.path / "tokenizer_config.json")

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type") or "unknown")

    def graph(self, base: str) -> str | None:
        """The file of a graph by its name without variant and suffix, relative to the folder; None without it."""
        found: dict[tuple[int, str], str] = {}
        for above in ("", f"{GRAPHS_FOLDER}/"):
            for file in sorted((self.path / above).glob(f"{base}*.onnx")):
                variant = re.fullmatch(rf"{base}(?:_(?!with_past|merged)(\w+))?", file.stem)
                if variant is not None:
                    name = variant[1] or ""
                    rank = _VARIANTS.index(name) if name in _VARIANTS else len(_VARIANTS)
                    found.setdefault((rank, name), f"{above}{file.name}")
        return found[min(found)] if found else None

    def names(self, graph: str) -> GraphNames:
        return read_names(self.path / graph)


def optimum_settings(path: Path) -> Settings:
    """The settings of a folder that optimum exported.

    Raises:
        ModelFileInvalid: a file is missing, cannot be read, or contradicts another.
        UnsupportedArchitecture: it holds graphs that are not run.
    """
    folder = _Folder(path)
    encoder = folder.graph("encoder_model")
    settings = _of_one_graph(folder) if encoder is None else _of_two_graphs(folder, encoder)
    check_settings(settings, path)
    return settings


def read_json(path: Path) -> Mapping[str, Any]:
    """The object in a file; nothing where there is none.

    Raises:
        ModelFileInvalid: it is damaged, or too large.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise broken(path, f"is larger than {_MAX_BYTES >> 20} MiB")
        values: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise broken(path, f"cannot be read: {fault.strerror}") from fault
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise broken(path, f"is damaged: {fault}") from fault
    return values


def _of_one_graph(folder: _Folder) -> Settings:
    graph = folder.graph("model") or folder.graph("decoder_model_merged") or folder.graph("decoder_with_past_model")
    if graph is None:
        raise broken(folder.path, "has graphs, but none of the names that optimum gives")
    names = folder.names(graph)
    if any(name.startswith("past_key_values.") for name in names.inputs):
        return _of_decoder(folder, graph, names)
    if unknown := sorted(set(names.inputs) - _READ):
        raise UnsupportedArchitecture(
            f"{folder.path / graph} reads {', '.join(unknown)}, which is not known of a model that reads texts.",
            remedy="Export it with demotic convert --to onnx.",
        )
    task, outputs = _task(folder, names)
    is_decoder = folder.model_type in _DECODERS
    values = _values(folder, names.outputs[outputs[0]] if task == "fill-mask" else ())
    pooling = (pooling_of(folder.path) or ("last" if is_decoder else "mean")) if task == "features" else None
    return Settings(
        task="reward" if is_decoder and task == "classify" and len(values["labels"]) == 1 else task,
        shape="pooled-decoder" if is_decoder else "encoder",
        graphs={"model": graph},
        inputs={"model": tuple(names.inputs)},
        outputs={"model": outputs},
        pooling=pooling,
        global_attention=_global_attention(task) if folder.model_type == "longformer" else None,
        **values,
    )


def _of_decoder(folder: _Folder, graph: str, names: GraphNames) -> Settings:
    cached = _cache(names.inputs, "past_key_values.{}.{}")
    layers = len(cached) // 2
    own = [name for name in names.inputs if not name.startswith("past_key_values.") and name != "use_cache_branch"]
    return Settings(
        task="generate",
        shape="decoder",
        graphs={"model": graph},
        inputs={"model": (*own, *_ours("past", layers))},
        outputs={"model": ("logits", *_ours("present", layers))},
        **_values(folder, names.outputs.get("logits", ()), cached),
    )


def _of_two_graphs(folder: _Folder, encoder: str) -> Settings:
    merged, later = folder.graph("decoder_model_merged"), folder.graph("decoder_with_past_model")
    decoder, first = merged or later, merged or folder.graph("decoder_model")
    if decoder is None or first is None:
        raise UnsupportedArchitecture(
            f"{folder.path} has a decoder without a cache, or one without its first step.",
            remedy="Export it with optimum's task text2text-generation-with-past.",
        )
    names = folder.names(decoder)
    cached = _cache(names.inputs, "past_key_values.{}.decoder.{}")
    layers = len(cached) // 2
    past, cross, present = (_ours(name, layers) for name in ("past", "cross", "present"))
    # Most decoders of this kind take no mask of what is written.
    own = ("input_ids", *(["attention_mask"] if "attention_mask" in names.inputs else []), "encoder_attention_mask")
    return Settings(
        task="translate" if folder.model_type in TRANSLATORS else "text2text",
        shape="encoder-decoder",
        graphs={"encoder": encoder, "decoder": decoder},
        inputs={"encoder": ("input_ids", "attention_mask"), "decoder": (*own, *past, *cross)},
        outputs={"encoder": cross, "decoder": ("logits", *present)},
        first=first,
        **_values(folder, names.outputs.get("logits", ()), cached),
    )


def _values(folder: _Folder, logits: Sizes, cached: Mapping[str, Sizes] | None = None) -> dict[str, Any]:
    """What all shapes have in common; `logits` has the size of the vocabulary last where it is known."""
    config = folder.config
    told = logits[-1] if logits else None
    rows = told if told is not None else config.get("vocab_size")
    width = next((config[name] for name in ("hidden_size", "d_model", "n_embd") if name in config), None)
    if not isinstance(rows, int) or not isinstance(width, int):
        raise broken(folder.path / CONFIG_FILE, "does not say how large vocabulary and hidden states are")
    sizes = ModelSizes(rows, width)
    if cached:
        heads, _, head_size = next(iter(cached.values()))[1:]
        if heads is None or head_size is None:
            raise broken(folder.path, "has a graph that does not say how large its cache is")
        sizes = ModelSizes(rows, width, len(cached) // 2, heads, head_size)
    special, tokenizer_config = special_tokens(folder.path, folder.model_type), folder.tokenizer_config
    marks = marks_of(config, folder.generation)
    mask = special.get(_text(tokenizer_config.get("mask_token")))
    if mask is not None and mask >= rows:  # transformers adds one where the model has none
        mask = None
    classes = config.get("id2label")
    labels = [str(classes[key]) for key in sorted(classes, key=int)] if isinstance(classes, dict) else []
    return {
        "architecture": folder.model_type,
        "layout": "optimum",
        "sizes": sizes,
        "tokenizer": tokenizer_of(folder.path, folder.model_type, _class_of(folder), rows),
        "tokens": Marks(**{**marks, "eos": tuple(marks["eos"])}, mask=mask),
        "max_length": max_length_of(config, tokenizer_config),
        "labels": tuple(labels) if labels else ("LABEL_0", "LABEL_1"),
        "problem_type": config.get("problem_type"),
        "languages": spoken_by(
            folder.model_type,
            special,
            tokenizer_class=_class_of(folder),
            is_legacy=tokenizer_config.get("legacy_behaviour") is True,
        ),
        "generation": {name: folder.generation[name] for name in GENERATION if folder.generation.get(name) is not None},
    }


def _task(folder: _Folder, names: GraphNames) -> tuple[Task, tuple[str, ...]]:
    """What a graph that reads texts gives, and its outputs, that one first."""
    outputs = tuple(names.outputs)
    states = next((name for name in _STATES if name in names.outputs), None)
    if states is not None:
        return "features", (states, *(name for name in outputs if name != states))
    classes = [str(name) for name in folder.config.get("architectures") or ()]
    task = next((task for name in classes for end, task in HEADS.items() if name.endswith(end)), None)
    wanted = {"start_logits", "end_logits"} if task == "question-answering" else {"logits"}
    if task is None or set(outputs) != wanted:
        raise UnsupportedArchitecture(
            f"{folder.path} holds a {' and '.join(classes) or folder.model_type} that gives {', '.join(outputs)}, "
            "which is not run.",
            remedy="Export it with its cache (optimum's task text-generation-with-past), or with demotic.",
        )
    return task, ("start_logits", "end_logits") if task == "question-answering" else outputs


def _cache(inputs: Mapping[str, Sizes], pattern: str) -> dict[str, Sizes]:
    """The inputs with keys and values, by optimum's names, layer by layer."""
    wanted = (pattern.format(layer, part) for layer in range(len(inputs)) for part in ("key", "value"))
    return {name: inputs[name] for name in wanted if name in inputs and len(inputs[name]) == 4}


def _ours(prefix: str, layers: int) -> tuple[str, ...]:
    return tuple(f"{prefix}.{layer}.{part}" for layer in range(layers) for part in ("key", "value"))


def _global_attention(task: Task) -> Any:
    return {"classify": "first", "question-answering": "question"}.get(task, "none")


def _class_of(folder: _Folder) -> str:
    return str(folder.tokenizer_config.get("tokenizer_class") or folder.config.get("tokenizer_class") or "")


def _text(token: object) -> str:
    """A special token as tokenizer_config.json has it: its text, or an object around it."""
    return str(token.get("content")) if isinstance(token, dict) else str(token)
