"""Tiny random checkpoints of transformers: every parameter random, norms and biases too, with a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from tests.tiny.t5_weights import fill_t5, untie

transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]

WIDTH, HEADS, LAYERS, FEED_FORWARD, CONTEXT = 64, 4, 2, 96, 128


def save_checkpoint(
    folder: Path,
    model: Any,
    tokenizer: tokenizers.Tokenizer,
    *,
    tokenizer_config: Mapping[str, Any] | None = None,
    max_shard_size: str = "5GB",
) -> Path:
    """Write model and tokenizer as the hub keeps them, and return the folder."""
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(tokenizer_config or {})), encoding="utf-8")
    return folder


def randomised(kind: Any, config: Any, *, seed: int = 0) -> Any:
    """A model of the class `kind` in float32 whose logits spread over a few units."""
    model = kind(config).eval().float()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim > 1:
                weight.copy_(noise * 1.3 * weight.shape[-1] ** -0.5)
            else:
                is_scale = name.endswith("weight") and not _is_offset_norm(model)
                weight.copy_(noise * 0.2 + (1.0 if is_scale else 0.0))
    return model


def _is_offset_norm(model: Any) -> bool:
    """Gemma's norms multiply by 1 + weight."""
    return "gemma" in model.config.model_type


def tiny_llama(vocabulary: int, **changes: Any) -> Any:
    """A Llama with grouped keys and values."""
    config = transformers.LlamaConfig(**{**_sizes(vocabulary), "num_key_value_heads": 2, **changes})
    return randomised(transformers.LlamaForCausalLM, config)


def _sizes(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": FEED_FORWARD,
        "max_position_embeddings": CONTEXT,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def tiny_mistral(vocabulary: int, **changes: Any) -> Any:
    """A Mistral whose heads are wider than its width divided among them."""
    config = transformers.MistralConfig(
        **{**_sizes(vocabulary), "num_key_value_heads": 2, "head_dim": 32, "sliding_window": None, **changes}
    )
    return randomised(transformers.MistralForCausalLM, config)


def tiny_qwen2(vocabulary: int, **changes: Any) -> Any:
    """A Qwen2: its queries, keys and values have biases."""
    config = transformers.Qwen2Config(
        **{**_sizes(vocabulary), "num_key_value_heads": 2, "tie_word_embeddings": True, **changes}
    )
    return randomised(transformers.Qwen2ForCausalLM, config)


def tiny_qwen3_decoder(vocabulary: int, **changes: Any) -> Any:
    """A Qwen3 whose heads are wider than its width divided among them, as in the real ones."""
    config = transformers.Qwen3Config(**{**_sizes(vocabulary), "num_key_value_heads": 2, "head_dim": 32, **changes})
    return randomised(transformers.Qwen3ForCausalLM, config)


def tiny_gemma(vocabulary: int, **changes: Any) -> Any:
    """A first Gemma with one head of keys and values."""
    config = transformers.GemmaConfig(**{**_sizes(vocabulary), "num_key_value_heads": 1, "head_dim": 32, **changes})
    return randomised(transformers.GemmaForCausalLM, config)


def tiny_gemma2(vocabulary: int, **changes: Any) -> Any:
    """A Gemma 2 whose window is shorter than the texts of the tests."""
    sizes = {"num_key_value_heads": 2, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 16}
    # The real caps are never reached by so small a model: these bend every logit.
    caps = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
    config = transformers.Gemma2Config(**{**_sizes(vocabulary), "num_hidden_layers": 4, **sizes, **caps, **changes})
    return randomised(transformers.Gemma2ForCausalLM, config)


def tiny_gemma3(vocabulary: int, **changes: Any) -> Any:
    """A Gemma 3 of seven layers: the sixth sees the whole context, the others a window."""
    sizes: dict[str, Any] = {
        "num_key_value_heads": 1,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "sliding_window": 16,
    }
    bases = {"full_attention": 5000.0, "sliding_attention": 500.0}
    sizes["rope_parameters"] = {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()}
    config = transformers.Gemma3TextConfig(**{**_sizes(vocabulary), "num_hidden_layers": 7, **sizes, **changes})
    return randomised(transformers.Gemma3ForCausalLM, config)


def tiny_gemma3_multimodal(vocabulary: int, **changes: Any) -> Any:
    """A Gemma 3 that also sees images: the text of it is a `tiny_gemma3` whose context was stretched."""
    full = {"rope_type": "linear", "rope_theta": 5000.0, "factor": 8.0}
    sliding = {"rope_type": "default", "rope_theta": 500.0}
    text = tiny_gemma3(vocabulary, rope_parameters={"full_attention": full, "sliding_attention": sliding}, **changes)
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    config = transformers.Gemma3Config(
        text_config=text.config.to_dict(), vision_config=vision, mm_tokens_per_image=1,
        boi_token_index=4, eoi_token_index=5, image_token_index=6,
    )  # fmt: skip
    return randomised(transformers.Gemma3ForConditionalGeneration, config)


def tiny_phi3(vocabulary: int, **changes: Any) -> Any:
    """A Phi-3."""
    config = transformers.Phi3Config(**{**_sizes(vocabulary), "num_key_value_heads": 2, **changes})
    return randomised(transformers.Phi3ForCausalLM, config)


def tiny_gpt2(vocabulary: int, **changes: Any) -> Any:
    """A GPT-2."""
    sizes = {"vocab_size": vocabulary, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT}
    no_ids = {"bos_token_id": None, "eos_token_id": None}
    return randomised(transformers.GPT2LMHeadModel, transformers.GPT2Config(**{**sizes, **no_ids, **changes}))


def tiny_gpt_neox(vocabulary: int, **changes: Any) -> Any:
    """A GPT-NeoX that rotates half of each head, as Polyglot-Ko does."""
    rope = {"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.5}
    config = transformers.GPTNeoXConfig(**{**_sizes(vocabulary), "rope_parameters": rope, **changes})
    return randomised(transformers.GPTNeoXForCausalLM, config)


def tiny_bloom(vocabulary: int, **changes: Any) -> Any:
    """A BLOOM whose head count is no power of two, for which ALiBi has rules of its own."""
    sizes = {"vocab_size": vocabulary, "hidden_size": 96, "n_layer": LAYERS, "n_head": 6}
    no_ids = {"bos_token_id": None, "eos_token_id": None}
    return randomised(transformers.BloomForCausalLM, transformers.BloomConfig(**{**sizes, **no_ids, **changes}))


def tiny_t5(vocabulary: int, **changes: Any) -> Any:
    """A first T5: ReLU, and a head that is the embedding."""
    return _t5(transformers.T5Config, transformers.T5ForConditionalGeneration, vocabulary, changes)


def tiny_mt5(vocabulary: int, **changes: Any) -> Any:
    """An mT5, as T5 1.1 and mT0: gated GELU, and a head of its own."""
    changes = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, **changes}
    return _t5(transformers.MT5Config, transformers.MT5ForConditionalGeneration, vocabulary, changes)


def tiny_byt5(vocabulary: int = 384, **changes: Any) -> Any:
    """A ByT5, as MonoByte: an encoder deeper than the decoder."""
    sizes = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "num_layers": 4, "num_decoder_layers": 2}
    return _t5(transformers.T5Config, transformers.T5ForConditionalGeneration, vocabulary, sizes | changes)


def _t5(config_class: Any, model_class: Any, vocabulary: int, changes: Mapping[str, Any]) -> Any:
    sizes = {"d_model": WIDTH, "d_kv": 24, "d_ff": FEED_FORWARD, "num_layers": LAYERS, "num_heads": HEADS}
    config = config_class(vocab_size=vocabulary, decoder_start_token_id=0, **{**sizes, **changes})
    model = model_class(config).eval().float()
    untie(model)
    fill_t5(model, seed=0, gain=1.3)
    return model
