"""The dialects by name, and which one a model's chat template speaks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from runtime.chat.tools.dialects.base import Dialect
from runtime.chat.tools.dialects.deepseek import DeepSeek
from runtime.chat.tools.dialects.fallback import Fallback
from runtime.chat.tools.dialects.function_gemma import FunctionGemma
from runtime.chat.tools.dialects.gemma import Gemma
from runtime.chat.tools.dialects.hermes import Hermes
from runtime.chat.tools.dialects.json_object import JsonObject
from runtime.chat.tools.dialects.llama_json import LlamaJson
from runtime.chat.tools.dialects.mistral import Mistral, MistralArguments
from runtime.chat.tools.dialects.pythonic import Pythonic
from runtime.chat.tools.dialects.smollm2 import SmolLM2
from runtime.chat.tools.dialects.tucan import Tucan, TucanEval

FALLBACK = Fallback()
DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Hermes(),
            LlamaJson(),
            Pythonic(),
            Mistral(),
            MistralArguments(),
            Gemma(),
            FunctionGemma(),
            Tucan(),
            TucanEval(),
            SmolLM2(),
            DeepSeek(),
            JsonObject(),
            FALLBACK,
        )
    }
)
# Texts of published templates that tell the dialect, the most telling first.
_TRACES = (
    ("<start_function_call>", "function-gemma"),
    ("<｜tool▁calls▁begin｜>", "deepseek"),
    ("[ARGS]", "mistral-args"),
    ("[TOOL_CALLS]", "mistral"),
    ("<tool_call>", "hermes"),
    ("<|python_start|>", "pythonic"),
    ("[func_name1(", "pythonic"),
    ("<|python_tag|>", "llama-json"),
    ("dictionary of argument name and its value", "llama-json"),
    ('"name": <function-name>', "json"),
    ("<start_of_turn>", "gemma"),
)


def dialect_of(template: str | None) -> Dialect:
    """The dialect of a chat template, as far as its text tells; the fallback where it tells none."""
    if template is not None:
        for trace, name in _TRACES:
            if trace in template:
                return DIALECTS[name]
    return FALLBACK
