"""The config of a checkpoint as far as its GGUF tells of it: enough to know where an adapter of it belongs."""

from __future__ import annotations

from typing import Any

from converters.checkpoint import Checkpoint, Origin
from converters.config import Config
from runtime.models.header import Header

# By llama.cpp's name: transformers' class and activation. Their tensors follow from the sizes alone.
_CLASSES = {
    "llama": ("LlamaForCausalLM", "silu"),
    "qwen2": ("Qwen2ForCausalLM", "silu"),
    "qwen3": ("Qwen3ForCausalLM", "silu"),
    "gemma": ("GemmaForCausalLM", "gelu_pytorch_tanh"),
    "gemma2": ("Gemma2ForCausalLM", "gelu_pytorch_tanh"),
    "gemma3": ("Gemma3ForCausalLM", "gelu_pytorch_tanh"),
}
_SIZES = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
}
_EXPERTS = "expert_count"


def base_in(header: Header) -> Checkpoint | None:
    """The checkpoint, without weights, that a GGUF was made of; None where the header does not say enough."""
    metadata, kind = header.metadata, header.architecture
    sizes = {name: metadata.get(f"{kind}.{key}") for name, key in _SIZES.items()}
    if kind not in _CLASSES or metadata.get(f"{kind}.{_EXPERTS}"):
        return None
    if not all(isinstance(size, int) for size in sizes.values()):  # they may differ by layer
        return None
    name, activation = _CLASSES[kind]
    optional = {
        "num_key_value_heads": metadata.get(f"{kind}.attention.head_count_kv"),
        "head_dim": metadata.get(f"{kind}.attention.key_length"),
    }
    values: dict[str, Any] = {
        "architectures": [name],
        "hidden_act": activation,
        "hidden_activation": activation,
        "vocab_size": header.tensors["token_embd.weight"].shape[1],
        "tie_word_embeddings": "output.weight" not in header.tensors,
        "attention_bias": "blk.0.attn_q.bias" in header.tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in header.tensors,
        **sizes,
        **{key: size for key, size in optional.items() if isinstance(size, int)},
    }
    return Checkpoint(header.path.parent, Origin(header.path.name), Config(values, str(header.path)), (), {})
