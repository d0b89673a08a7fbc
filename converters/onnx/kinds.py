"""Which classes of transformers are exported, as what, and for which task."""

from __future__ import annotations

from dataclasses import dataclass

from converters.checkpoint import Checkpoint
from converters.factors import CLASSES
from runtime.errors import UnsupportedArchitecture
from runtime.models.name import nearest_names
from runtime.models.onnx_settings import HEADS, Shape, Task


@dataclass(frozen=True)
class Kind:
    """What becomes of a class: `name` as transformers has it, the shape of its graphs, and the task of its head.

    A "pooled-decoder" reads a text at once and gives vectors or scores, without a cache.
    """

    name: str
    shape: Shape
    task: Task


_ENCODERS = ("Bert", "Roberta", "XLMRoberta", "Camembert", "DebertaV2", "Longformer")
_HEADS: dict[str, Task] = {"Model": "features", **HEADS}
_DECODERS = ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Phi3", "GPTNeoX", "Bloom")
_TRANSLATORS = ("MBartForConditionalGeneration", "M2M100ForConditionalGeneration", "MarianMTModel")
_WRITERS = ("T5ForConditionalGeneration", "MT5ForConditionalGeneration")

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *(Kind(family + head, "encoder", task) for family in _ENCODERS for head, task in _HEADS.items()),
        *(Kind(name, "encoder", "fill-mask") for name in CLASSES.values()),
        *(Kind(f"{family}EncoderModel", "encoder", "features") for family in ("T5", "MT5")),
        *(Kind(name, "encoder-decoder", "translate") for name in _TRANSLATORS),
        *(Kind(name, "encoder-decoder", "text2text") for name in _WRITERS),
        *(Kind(f"{family}ForCausalLM", "decoder", "generate") for family in (*_DECODERS, "Gemma3")),
        Kind("GPT2LMHeadModel", "decoder", "generate"),
        *(Kind(f"{family}Model", "pooled-decoder", "features") for family in (*_DECODERS, "GPT2", "Gemma3Text")),
        *(Kind(f"{family}ForSequenceClassification", "pooled-decoder", "reward") for family in (*_DECODERS, "GPT2")),
    )
}


def kind_of(checkpoint: Checkpoint) -> Kind:
    """What a checkpoint is, by the class that its config names.

    One that sentence-transformers saved gives vectors, whatever head its class has.

    Raises:
        UnsupportedArchitecture: the class is not exported, with the nearest that is; or it is quantized already.
    """
    config = checkpoint.config
    if "quantization_config" in config:
        raise UnsupportedArchitecture(
            f"{checkpoint.folder} is quantized already.", remedy="Get the checkpoint that it was made from."
        )
    classes = config.texts("architectures")
    found = next((KINDS[name] for name in classes if name in KINDS), None)
    if found is None:
        shown = " and ".join(classes) or config.text("model_type", default="unknown")
        near = nearest_names(shown, KINDS, limit=1)
        hint = f"The nearest that is: {near[0]}." if near else f"Those that are: {', '.join(sorted(KINDS))}."
        raise UnsupportedArchitecture(f"{checkpoint.folder} is a {shown}, which is not exported to ONNX.", remedy=hint)
    if (checkpoint.folder / "modules.json").is_file():
        return _without_head(found)
    if found.task == "reward" and len(config.section("id2label").values) > 1:
        return Kind(found.name, found.shape, "classify")
    return found


def _without_head(kind: Kind) -> Kind:
    if kind.shape == "encoder-decoder" or kind.task == "features":
        return kind
    base = next(
        kind.name.removesuffix(head) for head in (*_HEADS, "ForCausalLM", "LMHeadModel") if kind.name.endswith(head)
    )
    name = f"{base}TextModel" if base == "Gemma3" else f"{base}Model"
    return KINDS[name]
