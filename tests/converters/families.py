"""One tiny checkpoint of every family, made when a test first asks for it, with the GGUF that was made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from converters.convert import Converted, Request, convert
from tests.tiny import checkpoints as tiny
from tests.tiny import tokenizers as tiny_tokenizers

EXACT = 1e-4  # models with SiLU or ReLU
GELU = 1e-2  # llama.cpp looks GELU up in a table of float16

_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_YARN = {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 32}
# Up to 1024 positions the short factors; a head has 16 values.
_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1000.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
    "long_factor": [2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5],
    "original_max_position_embeddings": 1024,
}
_LINEAR = {"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0}


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is made, and how near llama.cpp must come to it."""

    make: Callable[..., Any]
    tokenizer: Callable[[], tokenizers.Tokenizer]
    within: float
    changes: dict[str, Any]


RECIPES: dict[str, Recipe] = {
    "llama": Recipe(tiny.tiny_llama, tiny_tokenizers.sentencepiece, EXACT, {}),
    "llama-biased": Recipe(
        tiny.tiny_llama, tiny_tokenizers.sentencepiece, EXACT, {"attention_bias": True, "mlp_bias": True}
    ),
    "llama3-tied": Recipe(
        tiny.tiny_llama, tiny_tokenizers.llama3, EXACT, {"rope_parameters": _LLAMA3_ROPE, "tie_word_embeddings": True}
    ),
    "llama-linear": Recipe(tiny.tiny_llama, tiny_tokenizers.sentencepiece, EXACT, {"rope_parameters": _LINEAR}),
    "mistral": Recipe(tiny.tiny_mistral, tiny_tokenizers.sentencepiece, EXACT, {}),
    "qwen2": Recipe(tiny.tiny_qwen2, tiny_tokenizers.qwen2, EXACT, {}),
    "qwen2-yarn": Recipe(tiny.tiny_qwen2, tiny_tokenizers.qwen2, EXACT, {"rope_parameters": _YARN}),
    "qwen3": Recipe(tiny.tiny_qwen3_decoder, tiny_tokenizers.qwen2, EXACT, {}),
    "phi": Recipe(tiny.tiny_phi3, tiny_tokenizers.sentencepiece, EXACT, {}),
    "phi-longrope": Recipe(
        tiny.tiny_phi3,
        tiny_tokenizers.sentencepiece,
        EXACT,
        {
            "rope_parameters": _LONGROPE,
            "original_max_position_embeddings": 1024,
            "max_position_embeddings": 4096,
        },
    ),
    "gemma": Recipe(tiny.tiny_gemma, tiny_tokenizers.gemma, GELU, {}),
    "gemma2": Recipe(tiny.tiny_gemma2, tiny_tokenizers.gemma, GELU, {}),
    "gemma3": Recipe(tiny.tiny_gemma3, tiny_tokenizers.gemma, GELU, {}),
    "gemma3-multimodal": Recipe(tiny.tiny_gemma3_multimodal, tiny_tokenizers.gemma, GELU, {}),
    "gpt2": Recipe(tiny.tiny_gpt2, tiny_tokenizers.byte_level, GELU, {}),
    "gpt_neox": Recipe(tiny.tiny_gpt_neox, tiny_tokenizers.byte_level, GELU, {}),
    "gpt_neox-sequential": Recipe(
        tiny.tiny_gpt_neox,
        tiny_tokenizers.byte_level,
        GELU,
        {"use_parallel_residual": False, "attention_bias": False},
    ),
    "bloom": Recipe(tiny.tiny_bloom, tiny_tokenizers.bloom, GELU, {}),
}


class Family:
    """The checkpoint of a recipe and its GGUF in float32."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.recipe = RECIPES[name]
        self._root = root

    @cached_property
    def tokenizer(self) -> tokenizers.Tokenizer:
        return self.recipe.tokenizer()

    @cached_property
    def model(self) -> Any:
        return self.recipe.make(self.tokenizer.get_vocab_size(), **self.recipe.changes)

    @cached_property
    def folder(self) -> Path:
        return tiny.save_checkpoint(self._root / f"tiny-{self.name}", self.model, self.tokenizer)

    @cached_property
    def converted(self) -> Converted:
        return convert(Request(str(self.folder), self._root / f"{self.name}.gguf", "f32"))


class Families:
    """Families by the name of their recipe."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[str, Family] = {}

    def __getitem__(self, name: str) -> Family:
        return self._made.setdefault(name, Family(name, self._root))
