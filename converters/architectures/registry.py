"""The family of a checkpoint, by the class that its config names."""

from __future__ import annotations

from converters.architectures.base import Architecture
from converters.architectures.bert import Bert, Roberta
from converters.architectures.bloom import Bloom
from converters.architectures.gemma import Gemma, Gemma2, Gemma3
from converters.architectures.gemma3_multimodal import Gemma3Multimodal
from converters.architectures.gpt2 import Gpt2
from converters.architectures.gptneox import GptNeoX
from converters.architectures.llama import Llama
from converters.architectures.options import Options
from converters.architectures.phi3 import Phi3
from converters.architectures.qwen import Qwen2, Qwen3
from converters.architectures.t5 import T5
from converters.checkpoint import Checkpoint
from runtime.errors import UnsupportedArchitecture
from runtime.models.name import nearest_names

FAMILIES: tuple[type[Architecture], ...] = (
    Llama, Qwen2, Qwen3, Gemma, Gemma2, Gemma3, Gemma3Multimodal, Phi3, Gpt2, GptNeoX, Bloom, Bert, Roberta, T5,
)  # fmt: skip


_BY_CLASS = {name: family for family in FAMILIES for name in family.classes}


def gives_text(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint is a decoder or an encoder-decoder, as far as its class is known."""
    families = [_BY_CLASS[name] for name in checkpoint.config.texts("architectures") if name in _BY_CLASS]
    return not families or families[0].is_decoder or families[0] is T5


def architecture_of(checkpoint: Checkpoint, options: Options) -> Architecture:
    """Read the checkpoint as one of its family.

    Raises:
        UnsupportedArchitecture: no family has its class; the nearest one is named.
        ConversionRefused: it is quantized already, or its config has values that llama.cpp does not compute.
    """
    config = checkpoint.config
    if "quantization_config" in config:
        method = config.section("quantization_config").text("quant_method", default="unknown")
        raise UnsupportedArchitecture(
            f"{checkpoint.folder} is quantized already ({method}), and quantizing it again would lose more.",
            remedy="Get the checkpoint that it was made from.",
        )
    classes = config.texts("architectures")
    for name in classes:
        if name not in _BY_CLASS:
            continue
        family = _BY_CLASS[name](checkpoint, options)
        if options.is_reranker and not isinstance(family, Qwen3):
            raise UnsupportedArchitecture(
                f"{checkpoint.folder} is a {name}; llama.cpp computes the head of a reranker for Qwen3 only.",
                remedy="Convert it without --reranker: the endpoint asks it for yes or no.",
            )
        return family
    shown = " and ".join(classes) or config.text("model_type", default="unknown")
    near = nearest_names(shown, _BY_CLASS, limit=1)
    hint = f"The nearest that is: {near[0]}." if near else f"Those that are: {', '.join(sorted(_BY_CLASS))}."
    raise UnsupportedArchitecture(f"{checkpoint.folder} is a {shown}, which is not converted.", remedy=hint)
